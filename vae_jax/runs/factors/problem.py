"""Training problem on images with known factors, which are rendered on the device and drawn anew at every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax

from vae_jax.data import FactorData, render_images, render_pairs, scale
from vae_jax.models import Likelihood, gaussian_vae, likelihoods
from vae_jax.models._model import Model
from vae_jax.networks import conv_decoder, conv_encoder
from vae_jax.objectives import Objective
from vae_jax.runs.choices import OBJECTIVES, Facts, alternatives, build_objective
from vae_jax.runs.config import GRIDS
from vae_jax.runs.images.contexts import Contexts
from vae_jax.runs.keys import keys_of
from vae_jax.runs.limits import flag_of
from vae_jax.runs.recipe import Length, Member
from vae_jax.runs.settings import FactorSettings
from vae_jax.training import Examples, drawn

STEPS_AT_ONCE = 100  # largest number of steps between two lines of metrics
_CHANNELS, _HIDDEN = (32, 32, 64, 64), 256
_VALIDATION_BATCHES = 4
_VALIDATION = 1  # folded into a key
_MOST_SCORINGS = 1_000  # of all models, a minute or more each


class FactorProblem(NamedTuple):
    """Images with known factors, with their preprocessing and likelihood."""

    train_examples: Examples
    validation_examples: Any  # fixed images, used after every epoch and for all models
    image_shape: tuple[int, ...]
    num_examples: int
    likelihood: Likelihood = likelihoods.bernoulli
    prepare: Callable[..., Any] | None = None  # rendered images need no preprocessing
    prepare_raw: Callable[..., Any] = scale  # (key, uint8) -> float32
    num_classes: int | None = None
    contexts: Contexts = Contexts()

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-like facts of config.json from which the problem is made again without its images."""
        return {"image_shape": list(self.image_shape)}


def check(settings: FactorSettings) -> None:
    """Raises ValueError if settings of a run on known factors contradict one another."""
    for name, least in {"batch_size": 2, "latent_dim": 2}.items():
        if getattr(settings, name) < least:
            raise ValueError(f"--{flag_of(name)} must be at least {least}, got {getattr(settings, name)}")
    if settings.points <= settings.latent_dim:
        raise ValueError(f"--points must be above --latent-dim {settings.latent_dim}, got {settings.points}")
    own = grid_of(settings)
    for weight, grid in GRIDS.items():
        if grid != own and getattr(settings, grid):
            users = alternatives([choice.name for choice in OBJECTIVES if choice.weight == weight])
            raise ValueError(
                f"--{grid} requires --objective {users}, but --objective is {settings.objective}: give --{own} "
                "instead, or change --objective"
            )
    weights = getattr(settings, own)
    if len(set(weights)) < len(weights):
        raise ValueError(f"--{own} must be different numbers, got {' '.join(map(str, weights))}")
    every = settings.steps if settings.score_every is None else settings.score_every
    if every < 1 or settings.steps % every:
        raise ValueError(f"--score-every must divide --steps {settings.steps}, got {every}")
    if settings.steps // every > _MOST_SCORINGS:
        raise ValueError(f"--score-every must be at least {-(-settings.steps // _MOST_SCORINGS)}, got {every}")
    if every > STEPS_AT_ONCE > 10 * steps_at_once(settings):
        flag = "--steps" if settings.score_every is None else "--score-every"
        raise ValueError(
            f"{flag} must have a divisor between 10 and {STEPS_AT_ONCE} (a multiple of 100 has one), got {every}"
        )


def grid_of(settings: FactorSettings) -> str:
    """Name of the setting that holds the weights of the run's objective."""
    return GRIDS[OBJECTIVES.of(settings).weight or "beta"]


def resolve(settings: FactorSettings, data: FactorData) -> FactorSettings:
    """Settings with the weights of the objective filled in.

    Raises:
      ValueError: if --changed-factors is not below the number of factors of the data.
    """
    if settings.changed_factors is not None and not 1 <= settings.changed_factors < len(data.factor_sizes):
        raise ValueError(
            f"--changed-factors must be between 1 and {len(data.factor_sizes) - 1}, got {settings.changed_factors}"
        )
    choice, grid = OBJECTIVES.of(settings), grid_of(settings)
    weights = getattr(settings, grid) or (choice.flags[choice.weight or "beta"],)
    filled: dict[str, Any] = {grid: tuple(map(float, weights))}
    return dataclasses.replace(settings, **filled)


def steps_at_once(settings: FactorSettings) -> int:
    """Steps that one program takes (an "epoch" of the loop): the largest divisor of the steps between two scorings."""
    every = settings.score_every or settings.steps
    return max(steps for steps in range(1, min(every, STEPS_AT_ONCE) + 1) if every % steps == 0)


def length_of(settings: FactorSettings) -> Length:
    """Length of the training, with a mark at each step at which the models are scored."""
    chunk, every = steps_at_once(settings), settings.score_every or settings.steps
    marks = tuple(steps // chunk for steps in range(every, settings.steps + 1, every))
    return Length(settings.steps // chunk, settings.batch_size, steps_per_epoch=chunk, marks=marks)


def members_of(settings: FactorSettings) -> list[Member]:
    """The models of a run, in order: every weight with every seed."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    return [Member(seed, weight) for weight in getattr(settings, grid_of(settings)) for seed in seeds]


def alone(settings: FactorSettings, member: Member) -> FactorSettings:
    """Settings that train one model of the run alone."""
    own: dict[str, Any] = {"seed": member.seed, "seeds": 1, grid_of(settings): (member.weight,)}
    return dataclasses.replace(settings, **own)


def make_problem(settings: FactorSettings, data: FactorData) -> FactorProblem:
    """Problem whose images have factors that are drawn anew at every step; some objectives draw pairs of images.

    Make it once for a run: each call makes a new function, for which a new program is compiled.
    """
    at = partial(render_images, data.render)
    if OBJECTIVES.of(settings).in_pairs:
        at = partial(render_pairs, data.render, data.factor_sizes, settings.changed_factors)
    examples = Examples(data.table, data.num_images, at, drawn)
    indices_key, at_key = jax.random.split(jax.random.fold_in(keys_of(settings.seed).fitting, _VALIDATION))
    count = min(_VALIDATION_BATCHES * settings.batch_size, examples.count)
    indices = jax.random.choice(indices_key, examples.count, (count,), replace=False)
    validation = jax.jit(examples.at)(examples.data, at_key, indices)
    return FactorProblem(examples, validation, data.image_shape, data.num_images)


def without_data(settings: FactorSettings, image_shape: tuple[int, ...], num_classes: None = None) -> FactorProblem:
    """Problem without images, from which the model can be built."""
    return FactorProblem(Examples((), 1, lambda *_: None, drawn), None, tuple(image_shape), 1)


def make_model(settings: FactorSettings, problem: FactorProblem) -> Model:
    """VAE of disentanglement_lib: convolutions 4x4 32, 4x4 32, 2x2 64, 2x2 64, each of stride 2, and dense 256.

    The decoder mirrors the encoder, with 4x4 kernels throughout. The likelihood of the pixels is Bernoulli.

    Source: Locatello et al. 2019 (arXiv:1811.12359), appendix B.
    """
    dim, shape = settings.latent_dim, problem.image_shape
    encoder = conv_encoder(shape, 2 * dim, _CHANNELS, _HIDDEN, kernel_sizes=(4, 4, 2, 2))
    decoder = conv_decoder(dim, (*shape, 1), _CHANNELS, _HIDDEN)
    model = gaussian_vae(encoder, decoder, dim, problem.likelihood)
    return OBJECTIVES.of(settings).model(model, dim)


def make_objective(
    settings: FactorSettings, problem: FactorProblem, model: Model, num_steps: int, weight: Any
) -> Objective:
    """Objective with the weight of one member of the run; the weight may be traced."""
    facts = Facts(settings.latent_dim, problem.num_examples, num_steps, True)
    return build_objective(settings, facts, **{OBJECTIVES.of(settings).weight or "beta": weight})
