"""Meaningless calls of the library, each with a part of the error message that it must raise.

Every call must raise a ValueError or a TypeError of the library's own with one line, before a long compilation, before
much memory is taken, and before a file is written.
"""

# mypy: disable-error-code="arg-type"
# The arguments are wrong on purpose.
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import vae_jax
from vae_jax import distributions, evaluation, models, networks, objectives, quantizers, training

NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**12
SHAPE = (4, 4, 3)


class BadCall(NamedTuple):
    """Meaningless call, and the error that it must raise."""

    name: str  # call and fault
    call: Callable[[], Any]
    message: str  # part of the error message


@cache
def _model() -> Any:
    return vae_jax.mlp_vae(SHAPE, latent_dim=2, hidden=(8,))


@cache
def _params() -> Any:
    return _model().init(jax.random.key(0))


def _images(count: int = 20) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(count, *SHAPE)).astype(np.float32)


def _with(value: float) -> np.ndarray:
    images = _images()
    images[7, 3, 2, 1] = value
    return images


def _fit(train: Any = None, validation: Any = None, **options: Any) -> Any:
    train, validation = _images() if train is None else train, _images(4) if validation is None else validation
    options = {"epochs": 1, "batch_size": 4} | options
    return vae_jax.fit(
        _model(), objectives.negative_elbo, optax.adam(1e-3), train, validation, jax.random.key(0), **options
    )


def _fit_ensemble(train: Any = None, **options: Any) -> Any:
    train, options = _images() if train is None else train, {"epochs": 1, "batch_size": 4} | options
    keys, setup = jax.random.split(jax.random.key(0), 2), lambda _: (objectives.negative_elbo, optax.adam(1e-3))
    return training.fit_ensemble(_model(), setup, None, train, _images(4), keys, **options)


def _without_key(function: Callable[..., Any], x: Any, *more: Any, **options: Any) -> Any:
    return function(_model(), _params(), x, *more, **options)


def _with_key(function: Callable[..., Any], x: Any, *more: Any, **options: Any) -> Any:
    return function(_model(), _params(), jax.random.key(0), x, *more, **options)


X = _images(1)[0]
CHANNELS_FIRST = np.moveaxis(X, -1, 0)
BYTES = (255 * X).astype(np.uint8)
LAST, ONE = "channels come last", "map with jax.vmap"

SHAPES = [
    BadCall("code, channels first", lambda: _without_key(vae_jax.latent_code, CHANNELS_FIRST), LAST),
    BadCall("encode, channels first", lambda: _without_key(vae_jax.encode, CHANNELS_FIRST), LAST),
    BadCall("encode, a batch", lambda: _without_key(vae_jax.encode, _images()), ONE),
    BadCall("code, a batch", lambda: _without_key(vae_jax.latent_code, _images()), ONE),
    BadCall("reconstruct, a batch", lambda: _without_key(vae_jax.reconstruct, _images()), ONE),
    BadCall(
        "reconstruct, another size",
        lambda: _without_key(vae_jax.reconstruct, X[:3]),
        "of shape (4, 4, 3), got (3, 4, 3)",
    ),
    BadCall("interpolate, channels first", lambda: _without_key(vae_jax.interpolate, X, CHANNELS_FIRST), LAST),
    BadCall("traverse, a batch", lambda: _without_key(vae_jax.traverse, _images(), [0.0, 1.0]), ONE),
    BadCall("decode, z too long", lambda: _without_key(vae_jax.decode, np.zeros(3)), "of shape (2,), got (3,)"),
    BadCall("decode, a batch", lambda: _without_key(vae_jax.decode, np.zeros((5, 2))), ONE),
    BadCall("elbo, channels first", lambda: _with_key(vae_jax.elbo, CHANNELS_FIRST), LAST),
    BadCall("elbo, a batch", lambda: _with_key(vae_jax.elbo, _images()), ONE),
    BadCall("log_weight, flattened", lambda: _with_key(vae_jax.log_weight, X.ravel()), "of shape (4, 4, 3), got (48,)"),
    BadCall("iwae, a batch", lambda: _with_key(vae_jax.iwae, _images(), 5), ONE),
    BadCall(
        "posterior_means, channels first",
        lambda: _without_key(evaluation.posterior_means, np.moveaxis(_images(), -1, 1)),
        LAST,
    ),
    BadCall(
        "importance_sampling, channels first",
        lambda: _with_key(evaluation.importance_sampling, np.moveaxis(_images(), -1, 1), 5),
        LAST,
    ),
    BadCall("fit, channels first", lambda: _fit(np.moveaxis(_images(), -1, 1), np.moveaxis(_images(), -1, 1)), LAST),
    BadCall("fit, validation of another shape", lambda: _fit(validation=_images(4)[:, 1:]), "validation must hold"),
]

VALUES = [
    BadCall("code, 0 to 255", lambda: _without_key(vae_jax.latent_code, 255 * X), "outside [0, 1] for a Bernoulli"),
    BadCall("code, raw bytes", lambda: _without_key(vae_jax.latent_code, BYTES), "raw uint8 pixels"),
    BadCall("elbo, below 0", lambda: _with_key(vae_jax.elbo, X - 1), "take likelihoods.normal"),
    BadCall("elbo, NaN", lambda: _with_key(vae_jax.elbo, X * NAN), "x holds 48 values that are not finite"),
    BadCall("iwae, above 1", lambda: _with_key(vae_jax.iwae, X + 1, 5), "outside [0, 1] for a Bernoulli"),
    BadCall(
        "measure_vae, 0 to 255",
        lambda: _with_key(evaluation.measure_vae, 255 * _images(), 1, 0),
        "outside [0, 1] for a Bernoulli",
    ),
    BadCall("fit, standardized", lambda: _fit(_images() - 0.5), "train holds values outside [0, 1] for a Bernoulli"),
    BadCall(
        "fit, NaN", lambda: _fit(_with(NAN)), "train holds 1 value that is not finite (first at example 7, position"
    ),
    BadCall(
        "fit, infinity in validation", lambda: _fit(validation=_with(INFINITY)), "validation holds 1 value that is"
    ),
    BadCall("fit_ensemble, NaN", lambda: _fit_ensemble(_with(NAN)), "position (3, 2, 1))"),
    BadCall("fit, no validation", lambda: _fit(validation=_images()[:0]), "validation must hold at least 1 example"),
    BadCall(
        "with_vamp_prior, images above 1",
        lambda: models.with_vamp_prior(_model(), 20, SHAPE, 2 * _images()),
        "initial_images must be in [0, 1]",
    ),
    BadCall(
        "categorical_log_prob, float categories",
        lambda: distributions.categorical_log_prob(np.zeros(2), np.zeros((2, 3))),
        "integer categories",
    ),
]

SIZES = [
    BadCall("mlp_vae, latent_dim 0", lambda: vae_jax.mlp_vae(SHAPE, latent_dim=0), "latent_dim must be at least 1"),
    BadCall("mlp_vae, latent_dim 10^12", lambda: vae_jax.mlp_vae(SHAPE, latent_dim=HUGE), "latent_dim must be at most"),
    BadCall("mlp_vae, latent_dim 2.5", lambda: vae_jax.mlp_vae(SHAPE, latent_dim=2.5), "latent_dim must be a whole"),
    BadCall("mlp_vae, latent_dim True", lambda: vae_jax.mlp_vae(SHAPE, latent_dim=True), "latent_dim must be a whole"),
    BadCall("mlp_vae, latent_dim '2'", lambda: vae_jax.mlp_vae(SHAPE, latent_dim="2"), "latent_dim must be a whole"),
    BadCall("mlp_vae, hidden (0,)", lambda: vae_jax.mlp_vae(SHAPE, hidden=(0,)), "hidden[0] must be at least 1, got 0"),
    BadCall("mlp_vae, hidden 400", lambda: vae_jax.mlp_vae(SHAPE, hidden=400), "hidden must be a sequence"),
    BadCall("mlp_vae, hidden NaN", lambda: vae_jax.mlp_vae(SHAPE, hidden=(NAN,)), "hidden[0] must be a whole number"),
    BadCall("mlp_vae, a side of 0", lambda: vae_jax.mlp_vae((4, 0, 3)), "image_shape[1] must be at least 1"),
    BadCall(
        "conv_vae, channels 0", lambda: vae_jax.conv_vae((8, 8, 1), channels=(0,)), "channels[0] must be at least 1"
    ),
    BadCall(
        "conv_vae, no channels",
        lambda: vae_jax.conv_vae((8, 8, 1), channels=()),
        "channels must have an entry for at least one layer",
    ),
    BadCall("conv_vae, hidden -1", lambda: vae_jax.conv_vae((8, 8, 1), hidden=-1), "hidden must be at least 1, got -1"),
    BadCall("mlp_encoder, 0 outputs", lambda: networks.mlp_encoder(SHAPE, 0), "num_outputs must be at least 1"),
    BadCall(
        "residual_encoder, residual_hidden 0",
        lambda: networks.residual_encoder((8, 8, 3), 4, residual_hidden=0),
        "residual_hidden must be at least 1",
    ),
    BadCall(
        "causal_transformer, 0 heads", lambda: networks.causal_transformer(8, 4, heads=0), "heads must be at least 1"
    ),
    BadCall(
        "with_mixture_prior, 10^12 components",
        lambda: models.with_mixture_prior(_model(), 2, HUGE),
        "num_components must be at most",
    ),
    BadCall("vector_quantizer, 0 codes", lambda: quantizers.vector_quantizer(0, 4), "num_codes (K) must be at least 1"),
    BadCall(
        "vector_quantizer, dim 1.5", lambda: quantizers.vector_quantizer(8, 1.5), "must be a whole number, got 1.5"
    ),
    BadCall(
        "vector_quantizer, commitment NaN",
        lambda: quantizers.vector_quantizer(8, 4, NAN),
        "commitment must be at least 0",
    ),
    BadCall(
        "ema_vector_quantizer, decay NaN", lambda: quantizers.ema_vector_quantizer(8, 4, decay=NAN), "decay must be"
    ),
    BadCall("finite_scalar_quantizer, 1 level", lambda: quantizers.finite_scalar_quantizer((1,)), "at least 2"),
    BadCall(
        "lookup_free_quantizer, temperature 0",
        lambda: quantizers.lookup_free_quantizer(4, temperature=0.0),
        "temperature must be above 0",
    ),
]

NUMBERS = [
    BadCall("beta_vae_loss(nan)", lambda: objectives.beta_vae_loss(NAN), "beta must be at least 0, got nan"),
    BadCall(
        "beta_vae_loss(inf)", lambda: objectives.beta_vae_loss(INFINITY), "beta must be at least 0 and finite, got inf"
    ),
    BadCall("beta_vae_loss(-1)", lambda: objectives.beta_vae_loss(-1), "beta must be at least 0, got -1"),
    BadCall("beta_vae_loss('4')", lambda: objectives.beta_vae_loss("4"), "beta must be a number, got '4'"),
    BadCall("beta_vae_loss(True)", lambda: objectives.beta_vae_loss(True), "beta must be a number, got True"),
    BadCall("beta_vae_loss([1, 2])", lambda: objectives.beta_vae_loss(np.ones(2)), "beta must be one number"),
    BadCall("free_bits_loss(-1)", lambda: objectives.free_bits_loss(-1), "nats must be at least 0"),
    BadCall("capacity_loss(nan, 1)", lambda: objectives.capacity_loss(NAN, 1.0), "gamma must be at least 0"),
    BadCall("negative_iwae(0)", lambda: objectives.negative_iwae(0), "num_samples must be at least 1"),
    BadCall("negative_iwae(2.0)", lambda: objectives.negative_iwae(2.0), "num_samples must be a whole number"),
    BadCall("negative_iwae(10^12)", lambda: objectives.negative_iwae(HUGE), "num_samples must be at most"),
    BadCall("negative_renyi(5, nan)", lambda: objectives.negative_renyi(5, NAN), "alpha must be a finite number"),
    BadCall("negative_ciwae(5, 2)", lambda: objectives.negative_ciwae(5, 2), "beta must be between 0 and 1"),
    BadCall(
        "gumbel_softmax_loss(0)", lambda: objectives.gumbel_softmax_loss(0.0), "temperature must be at least 0.001"
    ),
    BadCall("linear(0)", lambda: objectives.linear(0), "num_steps must be at least 1"),
    BadCall("linear(10, nan)", lambda: objectives.linear(10, NAN), "start must be a finite number"),
    BadCall("cyclical, rise nan", lambda: objectives.cyclical(10, 2, rise=NAN), "rise must be above 0 and at most 1"),
    BadCall("gaussian_kernel(0)", lambda: objectives.gaussian_kernel(0.0), "variance must be above 0"),
    BadCall("factor_vae_loss(-1)", lambda: objectives.factor_vae_loss(-1, lambda p, z: z), "gamma must be at least 0"),
    BadCall(
        "fixed_normal(inf)", lambda: models.likelihoods.fixed_normal(INFINITY), "variance must be above 0 and finite"
    ),
    BadCall("standard_normal(-1)", lambda: distributions.standard_normal(-1), "dim must be at least 1"),
    BadCall(
        "gumbel_softmax, temperature 0",
        lambda: distributions.gumbel_softmax(jax.random.key(0), jnp.zeros(3), 0.0),
        "temperature must be above 0",
    ),
    BadCall("iwae, 0 samples", lambda: _with_key(vae_jax.iwae, X, 0), "num_samples must be at least 1"),
    BadCall("interpolate, 1 step", lambda: _without_key(vae_jax.interpolate, X, X, 1), "num_steps must be at least 2"),
    BadCall(
        "interpolate, 10^12 steps", lambda: _without_key(vae_jax.interpolate, X, X, HUGE), "num_steps must be at most"
    ),
    BadCall("fit, 0 epochs", lambda: _fit(epochs=0), "epochs must be at least 1, got 0"),
    BadCall("fit, 10^12 epochs", lambda: _fit(epochs=HUGE), "epochs must be at most"),
    BadCall("fit, epochs nan", lambda: _fit(epochs=NAN), "epochs must be a whole number, got nan"),
    BadCall("fit, epochs '3'", lambda: _fit(epochs="3"), "epochs must be a whole number, got '3'"),
    BadCall("fit, batch_size 0", lambda: _fit(batch_size=0), "batch_size must be between 1 and the 20"),
    BadCall("fit, batch_size 2.5", lambda: _fit(batch_size=2.5), "batch_size must be a whole number"),
    BadCall("fit, patience -1", lambda: _fit(patience=-1), "patience must be at least 1, got -1"),
    BadCall("fit_ensemble, epochs inf", lambda: _fit_ensemble(epochs=INFINITY), "epochs must be a whole number"),
    BadCall(
        "make_train_stream_epoch, chunk_steps 0",
        lambda: training.make_train_stream_epoch(lambda *_: None, 5, chunk_steps=0),
        "chunk_steps must be at least 1",
    ),
    BadCall(
        "importance_sampling, 0 samples",
        lambda: _with_key(evaluation.importance_sampling, _images(), 0),
        "num_samples must be at least 1",
    ),
    BadCall(
        "importance_sampling, batch_size nan",
        lambda: _with_key(evaluation.importance_sampling, _images(), 5, batch_size=NAN),
        "batch_size must be a whole number",
    ),
    BadCall(
        "annealed_importance_sampling, 0 chains",
        lambda: _with_key(evaluation.annealed_importance_sampling, _images(), num_chains=0),
        "num_chains must be at least 1",
    ),
    BadCall(
        "annealed_importance_sampling, temperatures that fall",
        lambda: _with_key(evaluation.annealed_importance_sampling, _images(), temperatures=[0.0, 0.5, 0.2, 1.0]),
        "temperatures must rise from 0 to 1",
    ),
    BadCall(
        "sigmoid_temperatures(nan)", lambda: evaluation.sigmoid_temperatures(NAN), "num_steps must be a whole number"
    ),
    BadCall(
        "measure_vae, -1 samples", lambda: _with_key(evaluation.measure_vae, _images(), 1, -1), "nll_samples must be"
    ),
]

BAD_CALLS = [*SHAPES, *VALUES, *SIZES, *NUMBERS]


def verdict(bad: BadCall) -> str | None:
    """Fault in the error of a bad call; None if it is a clear error of the library's own."""
    try:
        bad.call()
    except (ValueError, TypeError) as error:
        message = str(error)
        module = type(error).__module__
        if "\n" in message or len(message) > 400:
            return f"not one line: {message[:80]!r}"
        if module != "builtins" and not module.startswith("vae_jax"):
            return f"an error of another library, {module}.{type(error).__name__}"
        return None if bad.message in message else f"does not say {bad.message!r}: {message}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:80]!r}"
    return "no error"
