"""Every row of every axis: it builds what trains, and its settings come back from config.json and the command line."""

import dataclasses
import inspect
import shlex
from functools import cache
from itertools import product

import jax
import numpy as np
import pytest

from quick import quick
from vae_jax.cli.train import parse
from vae_jax.data import Images
from vae_jax.models import Conditional
from vae_jax.objectives import with_preprocessing
from vae_jax.runs import RECIPES, VAE, VQ_VAE
from vae_jax.runs.checks import check_settings, with_defaults
from vae_jax.runs.choices import NETWORKS, ON_IMAGES, POSTERIORS, PRIORS, QUANTIZERS
from vae_jax.runs.config import as_command, run_config, settings_of_run
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images.kind import resolve
from vae_jax.runs.images.problem import make_problem
from vae_jax.training import evaluated_params, init_train_state, make_train_step

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1)).astype(np.uint8)
LABELS = np.arange(24, dtype=np.int32) % 3
IMAGES = Images("noise", PIXELS, LABELS, PIXELS[:6], LABELS[:6], "")
TINY = {"batch_size": 4, "validation_size": 4, "latent_dim": 2, "epochs": 2}
# Flags of some choices, given if they are used.
TINY_FLAGS = {"hidden": (4,), "channels": (2,), "components": 3, "pseudo_inputs": 3, "residual_hidden": 2}
CODES = {"channels": (2,), "residual_hidden": 2, "residual_layers": 1, "num_codes": 4, "k_means_images": 0}
KEY = jax.random.key(0)


def is_accepted(recipe, settings):
    try:
        check_settings(recipe, settings)
    except ValueError:
        return False
    return True


@cache
def problem_of(likelihood, binarization, condition):
    settings = dataclasses.replace(VAE.defaults, likelihood=likelihood, binarization=binarization, condition=condition)
    return make_problem(resolve(dataclasses.replace(settings, **TINY), IMAGES), IMAGES)


def train_one_step(recipe, **given):
    """Traces a training step of the recipe with these settings; returns the model and the names of the metrics."""
    settings = dataclasses.replace(recipe.defaults, **TINY, **(CODES if recipe is VQ_VAE else {}), **given)
    if recipe is VAE:
        used = {name for axis in (NETWORKS, PRIORS) for name in axis.of(settings).flags} - set(given)
        settings = dataclasses.replace(settings, **{name: TINY_FLAGS[name] for name in used & set(TINY_FLAGS)})
    check_settings(recipe, settings)
    settings = resolve(with_defaults(recipe, settings), IMAGES)
    problem = problem_of(settings.likelihood, settings.binarization, settings.condition)
    model = recipe.model(settings, problem)
    objective = with_preprocessing(recipe.objective(settings, problem, model, 10, None), problem.prepare)
    optimizer, evaluated = recipe.optimizer(settings, 10)
    step = make_train_step(model, objective, optimizer)
    batch = jax.tree.map(lambda leaf: leaf[:4], problem.train_examples)
    state = jax.eval_shape(lambda key: init_train_state(model, optimizer, key), KEY)
    after, metrics = jax.eval_shape(step, state, KEY, batch)
    shapes = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert shapes(after) == shapes(state), given
    assert (metrics["loss"].shape, metrics["loss"].dtype) == ((), np.float32), given
    kept = jax.eval_shape(lambda state: evaluated_params(evaluated, state), state)
    assert shapes(kept) == shapes(state.params), given
    return model, set(metrics)


COMPOSED = [
    (objective, posterior, prior)
    for objective, posterior, prior in product(ON_IMAGES.names, POSTERIORS.names, PRIORS.names)
    if is_accepted(VAE, dataclasses.replace(VAE.defaults, objective=objective, posterior=posterior, prior=prior))
]


def test_every_choice_of_a_composed_model_goes_with_some_others():
    for axis, names in zip((ON_IMAGES, POSTERIORS, PRIORS), zip(*COMPOSED, strict=True), strict=True):
        assert set(names) == set(axis.names)
    assert len(COMPOSED) < len(ON_IMAGES.names) * len(POSTERIORS.names) * len(PRIORS.names) / 2
    assert [each for each in COMPOSED if "delta" in each] == [("reconstruction", "delta", "fitted")]
    posteriors, priors = ("normal", "full_covariance"), ("normal", "mixture", "vamp")
    assert [each[1:] for each in COMPOSED if each[0] == "elbo"] == list(product(posteriors, priors))


@pytest.mark.parametrize("objective", quick(ON_IMAGES.names, "elbo", "reconstruction", "factor"))
def test_every_objective_trains_every_model_that_it_goes_with(objective):
    for _, posterior, prior in (each for each in COMPOSED if each[0] == objective):
        given = {"objective": objective, "posterior": posterior, "prior": prior}
        _, metrics = train_one_step(VAE, **given)
        assert ({"rate", "elbo"} <= metrics) == (objective not in ("reconstruction", "wae")), (given, metrics)
    if ON_IMAGES[objective].warms_up:
        _, warmed = train_one_step(VAE, **given, kl_warm_up=1)
        assert metrics <= warmed, given


def test_every_row_of_the_other_axes_trains():
    for axis in (axis for axis in VAE.axes if axis not in (ON_IMAGES, POSTERIORS, PRIORS)):
        for name in axis.names:
            train_one_step(VAE, **{axis.setting: name})
    for name in QUANTIZERS.names:
        train_one_step(VQ_VAE, quantizer=name)
    train_one_step(VQ_VAE, optimizer="schedule_free")
    for name in ("adam", "sgd", "muon"):
        train_one_step(VAE, optimizer=name, ema=0.9, clip_norm=1.0)
    train_one_step(VAE, optimizer="schedule_free", clip_norm=1.0)


def test_every_network_and_prior_takes_labels():
    for network in ("mlp", "conv", "residual"):
        assert isinstance(train_one_step(VAE, network=network, condition="labels")[0], Conditional)
    for prior in PRIORS.names:
        given = {"posterior": "delta", "objective": "reconstruction"} if prior == "fitted" else {}
        assert isinstance(train_one_step(VAE, prior=prior, condition="labels", **given)[0], Conditional)


ROWS = [(recipe, axis, name) for recipe in RECIPES.values() for axis in recipe.axes for name in axis.names]


def changed(value):
    """Another value of the same kind."""
    if isinstance(value, tuple):
        return (*value, 3)
    return value + 1 if isinstance(value, int) else value / 2 + 0.125


def with_choice(recipe, axis, name):
    """Settings that make a choice, change each of its flags, and make the other choices that go with it."""
    flags = {
        flag: changed(getattr(recipe.defaults, flag) if default is inspect.Parameter.empty else default)
        for flag, default in axis[name].flags.items()
        if hasattr(recipe.defaults, flag)
    }
    start = dataclasses.replace(recipe.defaults, **{axis.setting: name}, **flags)
    if "num_codes" in flags:
        start = dataclasses.replace(start, num_codes=64)
    if "prior_heads" in flags:
        start = dataclasses.replace(start, prior_width=5 * start.prior_heads)
    others = [one for one in recipe.axes if one.setting in ("posterior", "prior", "objective") and one is not axis]
    for names in product(*(dict.fromkeys((getattr(start, one.setting), *one.names)) for one in others)):
        settings = dataclasses.replace(start, **{one.setting: n for one, n in zip(others, names, strict=True)})
        if is_accepted(recipe, settings):
            return settings
    raise AssertionError(f"{recipe.name} never goes with {axis.setting} {name}")


@pytest.mark.slow
def test_the_settings_of_every_row_come_back_from_a_folder_and_from_their_command(tmp_path):
    assert len({recipe.name for recipe, _, _ in ROWS}) == 6 and len(ROWS) > 150
    for i, (recipe, axis, name) in enumerate(ROWS):
        settings = with_choice(recipe, axis, name)
        folder = RunFolder(tmp_path / str(i))
        folder.create(run_config(recipe, settings))
        assert settings_of_run(recipe, recipe.defaults, folder) == settings, (recipe.name, name)
        words = shlex.split(as_command(recipe, settings))
        assert words[:3] == ["vae-jax", "train", recipe.name]
        # A command of every recipe takes a part of a second to parse: each row in one of those that have it.
        if (axis.setting, name) not in {(one.setting, other) for _, one, other in ROWS[:i]}:
            assert parse(recipe, recipe.defaults, None, "vae-jax", words[3:]) == settings, shlex.join(words)
