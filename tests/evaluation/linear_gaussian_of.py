"""Linear-Gaussian VAE as in `objectives.linear_gaussian`, with any number of latent dimensions.

x = W z + b + N(0, s^2 I) has D + 2 pixels, and the columns of W are orthogonal, of lengths 0.5 to 2. The true posterior
is therefore diagonal, and log p(x), the ELBO and the variance of an importance weight are known. All references are in
numpy float64.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import scipy.stats

from objectives.linear_gaussian import NOISE_VARIANCE, float64, linear_gaussian
from vae_jax import standard_normal


@functools.cache
def model_of(dim):
    return linear_gaussian()._replace(prior=lambda params: standard_normal(dim))


def exact_params_of(dim):
    """Parameters with which the encoder is the true posterior."""
    rng = np.random.default_rng(dim)
    lengths = np.linspace(0.5, 2.0, dim)
    weights = np.linalg.qr(rng.normal(size=(dim + 2, dim)))[0] * lengths
    precision = 1 + lengths**2 / NOISE_VARIANCE
    arrays = {
        "weights": weights,
        "offset": rng.normal(size=dim + 2),
        "noise_log_variance": np.log(NOISE_VARIANCE),
        "encoder": weights.T / precision[:, None] / NOISE_VARIANCE,
        "log_variance": -np.log(precision),
    }
    return {name: jnp.asarray(value, jnp.float32) for name, value in arrays.items()}


def wrong_params_of(dim, bias=0.4, widening=0.7):
    """Parameters of a posterior with a shrunk mean and another width; the total error is similar for all dimensions."""
    exact = exact_params_of(dim)
    return {
        **exact,
        "encoder": (1.0 - bias / dim**0.5) * exact["encoder"],
        "log_variance": exact["log_variance"] + widening / dim**0.5,
    }


def examples_of(dim, num_examples, seed=0):
    """Examples drawn from the model, `[N, D + 2]`."""
    params, rng = float64(exact_params_of(dim)), np.random.default_rng(seed)
    z = rng.normal(size=(num_examples, dim))
    noise = np.sqrt(NOISE_VARIANCE) * rng.normal(size=(num_examples, dim + 2))
    return (z @ params["weights"].T + params["offset"] + noise).astype(np.float32)


def log_likelihood_of(params, xs):
    """Exact log p(x) = log N(x; b, W W^T + s^2 I) of `[N, D + 2]` examples, by scipy."""
    p = float64(params)
    covariance = p["weights"] @ p["weights"].T + np.exp(p["noise_log_variance"]) * np.eye(len(p["offset"]))
    return scipy.stats.multivariate_normal.logpdf(np.asarray(xs, np.float64), p["offset"], covariance)


def _posteriors(params, xs):
    """Means and variances of the true posterior and of the encoder's."""
    p = float64(params)
    precision = 1 + np.sum(p["weights"] ** 2, axis=0) * np.exp(-p["noise_log_variance"])
    centered = np.asarray(xs, np.float64) - p["offset"]
    mean = centered @ p["weights"] / precision * np.exp(-p["noise_log_variance"])
    return mean, 1 / precision, centered @ p["encoder"].T, np.exp(p["log_variance"])


def elbo_of(params, xs):
    """Exact ELBO, log p(x) - KL(q || true posterior), of every example."""
    mean, variance, q_mean, q_variance = _posteriors(params, xs)
    ratio = q_variance / variance
    kl = 0.5 * np.sum(ratio - 1 - np.log(ratio) + (mean - q_mean) ** 2 / variance, axis=1)
    return log_likelihood_of(params, xs) - kl


def weight_variance_of(params, xs):
    """Relative variance Var(w) / p(x)^2 of every example: the integral of (true posterior)^2 / q, minus 1.

    The integral of N(m, s^2)^2 / N(m', t^2) is t^2 / (s sqrt(2 t^2 - s^2)) exp((m - m')^2 / (2 t^2 - s^2)); it is
    infinite if q is too narrow, 2 t^2 <= s^2.
    """
    mean, variance, q_mean, q_variance = _posteriors(params, xs)
    rest = 2 * q_variance - variance
    if (rest <= 0).any():
        return np.full(len(xs), np.inf)
    logs = np.log(q_variance) - 0.5 * np.log(variance * rest) + (mean - q_mean) ** 2 / rest
    return np.expm1(np.sum(logs, axis=1))
