"""Linear-Gaussian VAE, whose log p(x), posterior and ELBO are known: x = W z + b + N(0, s^2 I), z ~ N(0, I).

log p(x) = log N(x; b, W W^T + s^2 I), and with orthogonal columns of W the true posterior is diagonal:
N(P^-1 W^T (x - b) / s^2, P^-1) with P = I + W^T W / s^2. The encoder is q(z | x) = N(A (x - b), diag exp(lv)).

The `VAE` record is written by hand, without a network library, and so tests this use too. References in numpy float64.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jax.flatten_util import ravel_pytree

from vae_jax import VAE, Normal, standard_normal

NUM_PIXELS, LATENT_DIM = 4, 2
WEIGHTS = np.array([[1, 1, 1, 1], [0.5, -0.5, 0.5, -0.5]], np.float32).T  # orthogonal columns of different length
OFFSET = np.array([0.5, -1.0, 0.0, 2.0], np.float32)
NOISE_VARIANCE = 0.5


def linear_gaussian() -> VAE:
    def decode(params, z):
        mean = params["weights"] @ z + params["offset"]
        return Normal(mean, jnp.full(mean.shape, params["noise_log_variance"]))

    return VAE(
        init=lambda key: exact_params(),
        encode=lambda params, x: Normal(params["encoder"] @ (x - params["offset"]), params["log_variance"]),
        prior=lambda params: standard_normal(LATENT_DIM),
        decode=decode,
    )


def separated(model: VAE) -> VAE:
    """The model with parameters {"inference": ..., "generation": ...}, one copy for `encode` and one for the rest.

    The gradient with respect to "inference" is the part of a shared parameter's gradient that passes through `encode`,
    that with respect to "generation" the part through `decode` and `prior`.
    """
    return VAE(
        init=lambda key: {part: model.init(key) for part in ("inference", "generation")},
        encode=lambda params, x: model.encode(params["inference"], x),
        prior=lambda params: model.prior(params["generation"]),
        decode=lambda params, z: model.decode(params["generation"], z),
    )


def _params(encoder, log_variance):
    arrays = {
        "weights": WEIGHTS,
        "offset": OFFSET,
        "noise_log_variance": np.log(NOISE_VARIANCE),
        "encoder": encoder,
        "log_variance": log_variance,
    }
    return {name: jnp.asarray(value, jnp.float32) for name, value in arrays.items()}


def exact_params():
    """Parameters with which the encoder is the true posterior."""
    precision = 1 + np.sum(WEIGHTS.astype(np.float64) ** 2, axis=0) / NOISE_VARIANCE
    return _params(WEIGHTS.T / precision[:, None] / NOISE_VARIANCE, -np.log(precision))


def wrong_params():
    """Parameters of a posterior that is too wide (so that importance weights vary) and has a biased mean."""
    exact = exact_params()
    return {**exact, "encoder": 0.7 * exact["encoder"], "log_variance": exact["log_variance"] + 0.8}


def float64(params):
    return {name: np.asarray(value, np.float64) for name, value in params.items()}


def log_likelihood(params, xs):
    """Exact log p(x) of `[N, 4]` examples, by scipy."""
    p = float64(params)
    covariance = p["weights"] @ p["weights"].T + np.exp(p["noise_log_variance"]) * np.eye(NUM_PIXELS)
    return scipy.stats.multivariate_normal.logpdf(np.asarray(xs, np.float64), p["offset"], covariance)


def elbo_parts(params, x, xp=np):
    """E_q log p(x | z) and KL(q || p) in closed form: E_q |x - b - W z|^2 = |x - b - W m|^2 + sum_ij W_ij^2 v_j.

    Computed in numpy float64, or in jax.numpy for gradients.
    """
    p = float64(params) if xp is np else params
    mean, variance = p["encoder"] @ (x - p["offset"]), xp.exp(p["log_variance"])
    residual = x - p["offset"] - p["weights"] @ mean
    square = xp.sum(residual**2) + xp.sum(p["weights"] ** 2 @ variance)
    noise = p["noise_log_variance"]
    expected = -0.5 * (NUM_PIXELS * (np.log(2 * np.pi) + noise) + square * xp.exp(-noise))
    kl = 0.5 * xp.sum(variance - 1 - p["log_variance"] + mean**2)
    return expected, kl


def elbo_value(params, x, xp=np):
    expected, kl = elbo_parts(params, x, xp)
    return expected - kl


def examples(num_examples, seed=0):
    """Examples drawn from the model, `[N, 4]`."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(num_examples, LATENT_DIM))
    x = z @ WEIGHTS.T + OFFSET + np.sqrt(NOISE_VARIANCE) * rng.normal(size=(num_examples, NUM_PIXELS))
    return x.astype(np.float32)


def draws(function, num_draws, seed=0):
    """Results of `function(key)` for many keys, in one jitted program: a numpy float64 array (or pytree of arrays)."""
    keys = jax.random.split(jax.random.key(seed), num_draws)
    return jax.tree.map(lambda a: np.asarray(a, np.float64), jax.jit(jax.vmap(function))(keys))


def gradient_draws(objective, model, params, xs, num_draws, seed=0):
    """Gradients of an objective's loss at many keys, each raveled: `[num_draws, P]` in numpy float64."""

    def gradient(key):
        return ravel_pytree(jax.grad(lambda p: objective(model, p, key, xs)[0])(params))[0]

    return draws(gradient, num_draws, seed)


def standard_error(values):
    return values.std(axis=0, ddof=1) / np.sqrt(len(values))
