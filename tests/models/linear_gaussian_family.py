"""Conditional linear-Gaussian VAE with a known likelihood and posterior for each label.

z ~ N(m_y, I) and x = W z + b_y + N(0, s^2 I) for a label y of 0, 1, 2, with W and s of `objectives.linear_gaussian`.
Then log p(x | y) = log N(x; W m_y + b_y, W W^T + s^2 I), and the true posterior is
N(P^-1 (m_y + W^T (x - b_y) / s^2), P^-1) with a diagonal P = I + W^T W / s^2. The encoder is
q(z | x, y) = N(A (x - b_y) + B m_y, diag exp(lv)).

`FAMILY` has a prior for each label; `COMMON_PRIOR_FAMILY` has N(0, I) for all (use parameters with `common=True`).
References are computed in numpy float64.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

from objectives.linear_gaussian import LATENT_DIM, NOISE_VARIANCE, NUM_PIXELS, WEIGHTS, float64
from vae_jax import VAE, Normal, standard_normal
from vae_jax.models import Conditional, Example

NUM_LABELS = 3
OFFSETS = np.array([[0.5, -1.0, 0.0, 2.0], [-0.5, 1.0, 0.3, 0.0], [1.0, 0.0, -1.0, 0.5]], np.float32)  # b_y
PRIOR_MEANS = np.array([[0.5, -0.5], [-1.0, 0.0], [0.0, 1.5]], np.float32)  # m_y


def _given(label) -> VAE:
    def encode(params, x):
        mean = params["encoder"] @ (x - params["offsets"][label]) + params["shrinkage"] * params["prior_means"][label]
        return Normal(mean, params["log_variance"])

    def decode(params, z):
        mean = params["weights"] @ z + params["offsets"][label]
        return Normal(mean, jnp.full(mean.shape, params["noise_log_variance"]))

    return VAE(
        init=lambda key: exact_params(),
        encode=encode,
        prior=lambda params: Normal(params["prior_means"][label], jnp.zeros(LATENT_DIM)),
        decode=decode,
    )


FAMILY = Conditional(init=lambda key: exact_params(), given=_given)
COMMON_PRIOR_FAMILY = Conditional(
    init=lambda key: exact_params(common=True),
    given=lambda label: _given(label)._replace(prior=lambda params: standard_normal(LATENT_DIM)),
)


def exact_params(common=False):
    """Parameters for which the encoder is the true posterior."""
    precision = 1 + np.sum(WEIGHTS.astype(np.float64) ** 2, axis=0) / NOISE_VARIANCE
    arrays = {
        "weights": WEIGHTS,
        "offsets": OFFSETS,
        "prior_means": np.zeros_like(PRIOR_MEANS) if common else PRIOR_MEANS,
        "noise_log_variance": np.log(NOISE_VARIANCE),
        "encoder": WEIGHTS.T / precision[:, None] / NOISE_VARIANCE,
        "shrinkage": 1 / precision,  # the diagonal of B
        "log_variance": -np.log(precision),
    }
    return {name: jnp.asarray(value, jnp.float32) for name, value in arrays.items()}


def wrong_params(common=False):
    """Parameters for which the posterior is too wide (importance weights vary) and has a biased mean."""
    exact = exact_params(common)
    return {**exact, "encoder": 0.7 * exact["encoder"], "log_variance": exact["log_variance"] + 0.8}


def examples(num_examples, seed=0, common=False):
    """Draws from the family with labels 0, 1, 2, 0, ...: an `Example` of xs `[N, 4]` and labels int32 `[N]`."""
    rng, labels = np.random.default_rng(seed), np.arange(num_examples, dtype=np.int32) % NUM_LABELS
    z = rng.normal(size=(num_examples, LATENT_DIM)) + (0.0 if common else PRIOR_MEANS[labels])
    x = z @ WEIGHTS.T + OFFSETS[labels] + np.sqrt(NOISE_VARIANCE) * rng.normal(size=(num_examples, NUM_PIXELS))
    return Example(x.astype(np.float32), labels)


def log_likelihood(params, xs, labels):
    """log p(x | y) by scipy, `[N]`, for examples `[N, 4]` with labels `[N]`."""
    p = float64(params)
    covariance = p["weights"] @ p["weights"].T + np.exp(p["noise_log_variance"]) * np.eye(NUM_PIXELS)
    means = p["prior_means"][labels] @ p["weights"].T + p["offsets"][labels]
    return np.atleast_1d(scipy.stats.multivariate_normal.logpdf(np.asarray(xs, np.float64) - means, cov=covariance))


def posterior(params, xs, labels):
    """Means `[N, 2]` and variances `[2]` of the true posterior."""
    p = float64(params)
    noise = np.exp(p["noise_log_variance"])
    precision = 1 + np.sum(p["weights"] ** 2, axis=0) / noise
    pull = (np.asarray(xs, np.float64) - p["offsets"][labels]) @ p["weights"] / noise
    return (p["prior_means"][labels] + pull) / precision, 1 / precision


def elbo_value(params, xs, labels):
    """log p(x | y) - KL(q || true posterior) for every example, `[N]`."""
    p, (mean, variance) = float64(params), posterior(params, xs, labels)
    shift = p["shrinkage"] * p["prior_means"][labels]
    q_mean = (np.asarray(xs, np.float64) - p["offsets"][labels]) @ p["encoder"].T + shift
    ratio = np.exp(p["log_variance"]) / variance
    kl = 0.5 * np.sum(ratio - 1 - np.log(ratio) + (mean - q_mean) ** 2 / variance, axis=1)
    return log_likelihood(params, xs, labels) - kl


def label_posteriors(params, xs, log_prior):
    """log p(y | x) by Bayes' rule, `[N, 3]`."""
    log_joint = np.stack(
        [log_likelihood(params, xs, np.full(len(xs), y)) + log_prior[y] for y in range(NUM_LABELS)], axis=1
    )
    return scipy.special.log_softmax(log_joint, axis=1)
