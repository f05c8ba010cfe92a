"""What makes one experiment differ from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from vae_jax.evaluation import Measures
from vae_jax.experiment.problem import Problem
from vae_jax.experiment.settings import Settings
from vae_jax.models._model import VAE, Model
from vae_jax.objectives import Objective
from vae_jax.params import Params


class SecondStage(NamedTuple):
    """What is trained after the model, and becomes a part of the one that is evaluated."""

    train: Callable[..., tuple[VAE, Params]]  # (prepared, settings of one model, params) -> the whole and its params
    load: Callable[..., Params]  # (run folder, settings, the model alone, its params) -> params of the whole
    whole: Callable[[Any, Any], VAE]  # (settings, the model alone) -> the whole
    begun: Callable[..., bool]  # (run folder, settings) -> whether any of it has been saved


class Method(NamedTuple):
    """An experiment on images. A script in experiments/ has one as METHOD, by which its runs are loaded."""

    name: str  # of the module in experiments/
    title: str  # of the report
    model: Callable[[Any, Problem], Model]  # (settings, problem)
    objective: Callable[[Any], Objective]  # (settings)
    # (model, params, key, xs or Example(xs, labels), elbo_samples, nll_samples): a vae_jax.evaluation.measure_*
    measure: Callable[[Any, Params, jax.Array, Any, int, int], Measures]
    # (model, params, training images as the model sees them) -> params: what is fitted after training, if anything
    after_training: Callable[[Any, Params, jax.Array], Params] | None = None
    second_stage: SecondStage | None = None
    defaults: Settings = Settings()  # of its own class, where it has settings of its own
    description: str = ""  # for --help
    conditional: bool = False  # whether `model` makes a Conditional of labels, with --condition labels


def check_condition(method: Method, settings: Settings, argument: str = "--condition") -> None:
    """Raises ValueError if the settings give side information to a model that takes none."""
    if settings.condition != "none" and not method.conditional:
        raise ValueError(
            f"{argument} {settings.condition}: the model of {method.name} takes no labels; vae and beta_vae have one "
            "that does"
        )
