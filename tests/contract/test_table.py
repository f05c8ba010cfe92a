"""Checks that every public distribution, objective, quantizer and model has a row in its table."""

import inspect
import re

from contract.distributions_table import DISTRIBUTIONS
from contract.models_table import MODELS
from contract.objectives_table import OBJECTIVES
from contract.quantizers_table import QUANTIZERS
from vae_jax import distributions, models, objectives, quantizers
from vae_jax.distributions import Distribution


def test_every_public_distribution_has_a_row_of_its_own_class():
    public = {
        name
        for name, value in vars(distributions).items()
        if inspect.isclass(value) and Distribution in value.__mro__ and value is not Distribution
    }
    assert public == set(DISTRIBUTIONS)
    assert {name: type(row.example).__name__ for name, row in DISTRIBUTIONS.items()} == {n: n for n in DISTRIBUTIONS}


def test_every_public_objective_has_a_row():
    # An objective is a function (model, params, key, batch), or made by a function with this return annotation.
    # Wrappers of other functions are tested in tests/objectives/.
    wrappers = {"code_prior_loss", "with_preprocessing", "at_step", "negative_bound"}
    functions = {name: value for name, value in vars(objectives).items() if inspect.isfunction(value)}
    public = {
        name
        for name, function in functions.items()
        if list(inspect.signature(function).parameters) == ["model", "params", "key", "batch"]
        or function.__annotations__.get("return") in ("Objective", "Scheduled")
    }
    public |= {name for name, value in vars(objectives).items() if isinstance(value, objectives.mean_over_batch)}
    assert wrappers <= public
    assert public - wrappers == {row.name for row in OBJECTIVES.values()}
    naming_rule = re.compile(r"(negative_\w+|\w+_loss|scheduled)")
    assert [name for name in public - wrappers if not naming_rule.fullmatch(name)] == []


def test_every_public_quantizer_has_a_row():
    functions = {name: value for name, value in vars(quantizers).items() if inspect.isfunction(value)}
    public = {name for name, function in functions.items() if function.__annotations__.get("return") == "Quantizer"}
    assert public == {name.split("-")[0] for name in QUANTIZERS}


def test_every_public_model_builder_has_a_row():
    functions = {name: value for name, value in vars(models).items() if inspect.isfunction(value)}
    built = {"VAE", "Conditional", "Model"}
    public = {name for name, function in functions.items() if function.__annotations__.get("return") in built}
    assert public - {"for_each_context"} == {row.builder for row in MODELS.values()}
