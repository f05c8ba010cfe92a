"""One row for every member of every axis: what the tests beside this file put through the same checks.

A new distribution, objective or model gets a row here; the guards in `test_table.py` fail until it has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from objectives.linear_gaussian import exact_params, linear_gaussian
from vae_jax import distributions as d
from vae_jax import objectives as o
from vae_jax.models import VAE, autoencoder, conv_vae, gaussian_vae, likelihoods, mlp_vae
from vae_jax.models.likelihoods import Likelihood
from vae_jax.networks import mlp_decoder, mlp_encoder

# ---------------------------------------------------------------------------------------------------- distributions


def array(*values: float) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


class DistributionRow(NamedTuple):
    example: Any  # over an event of several places, at ordinary parameters
    event: Any  # one event of it
    extremes: tuple[tuple[Any, Any], ...]  # (distribution, event): parameters at +-200 or +-30
    event_dtype: Any
    continuous: bool  # has a density, and a gradient with respect to the event
    reparameterized: bool  # gradients flow through its draws
    support: Callable[[Any], np.ndarray] | None  # of one place: a fine grid or all outcomes; None for a point mass


def _grid(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 20_001, dtype=np.float32)


PIXELS = (np.arange(256) / 255).astype(np.float32)
WIDE = array(-30.0, 30.0, -30.0, 30.0)
LOGITS = array(-200.0, 200.0, -200.0, 200.0)

DISTRIBUTIONS: dict[str, DistributionRow] = {
    "Normal": DistributionRow(
        d.Normal(array(0.5, -2.0, 3.0), array(-1.0, 0.5, 2.0)),
        array(0.0, -1.0, 4.0),
        ((d.Normal(array(0.0, 0.0, 1.0, 1.0), WIDE), array(0.0, 0.0, 3.0, 3.0)),),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=lambda q: _grid(
            float(q.mean[0] - 9 * jnp.exp(q.log_variance[0] / 2)), float(q.mean[0] + 9 * jnp.exp(q.log_variance[0] / 2))
        ),
    ),
    "Laplace": DistributionRow(
        d.Laplace(array(0.5, -2.0, 3.0), array(-1.0, 0.5, 1.0)),
        array(0.0, -1.0, 4.0),
        ((d.Laplace(array(0.0, 0.0, 1.0, 1.0), WIDE), array(0.0, 0.0, 3.0, 3.0)),),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=lambda q: _grid(
            float(q.mean[0] - 18 * jnp.exp(q.log_scale[0])), float(q.mean[0] + 18 * jnp.exp(q.log_scale[0]))
        ),
    ),
    "ContinuousBernoulli": DistributionRow(
        d.ContinuousBernoulli(array(-4.0, 1e-4, 2.0)),
        array(0.1, 0.5, 1.0),
        (
            (d.ContinuousBernoulli(LOGITS), array(0.0, 0.0, 1.0, 1.0)),
            (d.ContinuousBernoulli(array(0.0, 1e-6, 1.0)), array(0.0, 0.5, 1.0)),
        ),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=lambda q: _grid(0.0, 1.0),
    ),
    "Bernoulli": DistributionRow(
        d.Bernoulli(array(-2.0, 0.0, 1.0)),
        array(0.0, 1.0, 1.0),
        ((d.Bernoulli(LOGITS), array(0.0, 0.0, 1.0, 1.0)),),
        jnp.float32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.array([0.0, 1.0], np.float32),
    ),
    "DiscretizedLogistic": DistributionRow(
        d.DiscretizedLogistic(array(0.1, 0.5, 0.95), array(-3.0, -1.0, -2.0)),
        PIXELS[jnp.asarray([0, 100, 255])],
        (
            (d.DiscretizedLogistic(array(0.5, 0.5, 0.5, 0.5), WIDE), PIXELS[jnp.asarray([0, 0, 255, 255])]),
            (d.DiscretizedLogistic(array(-200.0, 200.0, -200.0, 200.0), WIDE), PIXELS[jnp.asarray([0, 40, 255, 99])]),
        ),
        jnp.float32,
        continuous=False,
        reparameterized=False,
        support=lambda q: PIXELS,
    ),
    "Categorical": DistributionRow(
        d.Categorical(jnp.asarray([[0.0, 1.0, -1.0, 0.5], [2.0, 0.0, 0.0, -2.0]], jnp.float32)),
        jnp.asarray([1, 3], jnp.int32),
        ((d.Categorical(jnp.asarray([[200.0, -200.0, 0.0], [-200.0, 200.0, 200.0]])), jnp.asarray([1, 0], jnp.int32)),),
        jnp.int32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.arange(q.logits.shape[-1], dtype=np.int32),
    ),
    "Delta": DistributionRow(
        # Of integers: a Delta of floating-point values has no density (tests/distributions/test_delta.py).
        d.Delta(jnp.asarray([0, -2, 3], jnp.int32)),
        jnp.asarray([0, -2, 3], jnp.int32),
        (),
        jnp.int32,
        continuous=False,
        reparameterized=False,
        support=None,
    ),
}

# ----------------------------------------------------------------------------------------------------------- models

IMAGE_SHAPE = (4, 4, 1)
LATENT_DIM = 2

LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": likelihoods.bernoulli,
    "continuous_bernoulli": likelihoods.continuous_bernoulli,
    "laplace": likelihoods.laplace,
    "logistic": likelihoods.logistic,
    "normal": likelihoods.normal,
}


def _autoencoder() -> VAE:
    return autoencoder(
        mlp_encoder(IMAGE_SHAPE, LATENT_DIM, (8,)), mlp_decoder(LATENT_DIM, (*IMAGE_SHAPE, 1), (8,)), LATENT_DIM
    )


def _gaussian_vae() -> VAE:
    return gaussian_vae(
        mlp_encoder(IMAGE_SHAPE, 2 * LATENT_DIM, (8,), jnp.tanh),
        mlp_decoder(LATENT_DIM, (*IMAGE_SHAPE, 1), (8,), activation=jnp.tanh),
        LATENT_DIM,
    )


MLP_LAYERS = ("hidden_0", "output")


def _paths(**layers: tuple[str, ...]) -> set[str]:
    return {
        f"{part}/{layer}/{leaf}" for part, names in layers.items() for layer in names for leaf in ("bias", "kernel")
    }


class ModelRow(NamedTuple):
    builder: str  # the name in vae_jax.models
    model: VAE
    paths: set[str]  # of all its parameters: what a checkpoint of today must still find tomorrow


MODELS: dict[str, ModelRow] = {
    **{
        f"mlp_vae-{name}": ModelRow(
            "mlp_vae",
            mlp_vae(IMAGE_SHAPE, LATENT_DIM, (8,), likelihood),
            _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS),
        )
        for name, likelihood in LIKELIHOODS.items()
    },
    "mlp_vae-deep": ModelRow(
        "mlp_vae",
        mlp_vae(IMAGE_SHAPE, LATENT_DIM, (8, 6)),
        _paths(encoder=("hidden_0", "hidden_1", "output"), decoder=("hidden_0", "hidden_1", "output")),
    ),
    "conv_vae": ModelRow(
        "conv_vae",
        conv_vae(IMAGE_SHAPE, LATENT_DIM, (2, 3), 5),
        _paths(encoder=("conv_0", "conv_1", "hidden", "output"), decoder=("hidden", "grid", "conv_0", "output")),
    ),
    "gaussian_vae": ModelRow("gaussian_vae", _gaussian_vae(), _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS)),
    "autoencoder": ModelRow(
        "autoencoder",
        _autoencoder(),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | {"buffers/prior_mean", "buffers/prior_log_variance"},
    ),
}

# ------------------------------------------------------------------------------------------------------- objectives


def noiseless(params: Any) -> Any:
    """An mlp_vae's parameters with every posterior log-variance at -30: z is the posterior mean to float precision."""
    output = params["encoder"]["output"]
    quiet = {
        "kernel": output["kernel"].at[:, LATENT_DIM:].set(0.0),
        "bias": output["bias"].at[LATENT_DIM:].set(-30.0),
    }
    return {**params, "encoder": {**params["encoder"], "output": quiet}}


VAE_MODEL = mlp_vae(IMAGE_SHAPE, LATENT_DIM, (8,))
VAE_PARAMS = VAE_MODEL.init(jax.random.key(0))
IMAGES = (np.random.default_rng(0).random((4, *IMAGE_SHAPE)) < 0.5).astype(np.float32)

LINEAR_MODEL = linear_gaussian()
LINEAR_EXAMPLES = np.random.default_rng(1).normal(0, 1.5, (4, 4)).astype(np.float32)

AUTOENCODER = _autoencoder()
AUTOENCODER_PARAMS = AUTOENCODER.init(jax.random.key(0))


class Problem(NamedTuple):
    model: VAE
    params: Any
    batch: np.ndarray  # four different examples


class ObjectiveRow(NamedTuple):
    name: str  # in vae_jax.objectives
    objective: o.Objective
    problem: Problem  # an ordinary one
    quiet: Problem  # one where the loss of an example does not depend on the key
    has_elbo: bool


NOISY = Problem(VAE_MODEL, VAE_PARAMS, IMAGES)
NOISELESS = Problem(VAE_MODEL, noiseless(VAE_PARAMS), IMAGES)
# With the exact posterior log p(x, z) - log q(z | x) = log p(x) at every z, though log q itself is noisy.
EXACT = Problem(LINEAR_MODEL, exact_params(), LINEAR_EXAMPLES)
CODES = Problem(AUTOENCODER, AUTOENCODER_PARAMS, IMAGES)

OBJECTIVES: dict[str, ObjectiveRow] = {
    "negative_elbo": ObjectiveRow("negative_elbo", o.negative_elbo, NOISY, NOISELESS, has_elbo=True),
    "negative_sampled_elbo": ObjectiveRow(
        "negative_sampled_elbo", o.negative_sampled_elbo, NOISY, EXACT, has_elbo=True
    ),
    "beta(4.0)": ObjectiveRow("beta", o.beta(4.0), NOISY, NOISELESS, has_elbo=True),
    "beta(0.0)": ObjectiveRow("beta", o.beta(0.0), NOISY, NOISELESS, has_elbo=True),
    "reconstruction": ObjectiveRow("reconstruction", o.reconstruction, CODES, CODES, has_elbo=False),
    "reconstruction-noisy": ObjectiveRow("reconstruction", o.reconstruction, NOISY, NOISELESS, has_elbo=False),
}
