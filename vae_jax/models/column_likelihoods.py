"""Likelihoods p(x | z) of the columns of a table: standardized and positive numbers, counts, categories.

`models.likelihoods` has those of pixels, and `likelihoods.bernoulli` is the one of a column of 0 and 1. Each function
and record here is a `Likelihood` of an array of any shape, such as all columns of one kind; `likelihoods.joint` joins
them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import (
    Categorical,
    LogNormal,
    NegativeBinomial,
    Normal,
    Ordinal,
    Poisson,
    ZeroInflatedNegativeBinomial,
)
from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.models.likelihoods import Likelihood, per_element, student_t_of

# Initial logits of the additional zeros: a probability of 0.12.
_INITIAL_ZERO_LOGITS = -2.0
# Means of positive columns are not below this: a mean of 0 would have the logarithm -inf.
_LEAST_MEAN = 1e-6


def _log(mean: ArrayLike) -> jax.Array:
    return jnp.log(jnp.maximum(jnp.asarray(mean, jnp.float32), _LEAST_MEAN))


def _with_constants(first: jax.Array, *constants: float) -> jax.Array:
    return jnp.stack([first, *(jnp.full_like(first, constant) for constant in constants)], axis=-1)


# Outputs: mean, log-variance.
normal = Likelihood(
    per_element(2),
    lambda outputs: Normal(outputs[..., 0], outputs[..., 1]),
    lambda mean: _with_constants(mean, 0.0),
    values="standardized numbers",
)

# Outputs: location, log-scale, h with 3 + softplus(h) degrees of freedom.
student_t = Likelihood(
    per_element(3),
    student_t_of,
    lambda mean: _with_constants(mean, 0.0, 0.0),
    values="standardized numbers with outliers",
)

# Outputs: mean and log-variance of log x. The mean of x is exp(location + 1/2) at a variance of 1.
log_normal = Likelihood(
    per_element(2),
    lambda outputs: LogNormal(outputs[..., 0], outputs[..., 1]),
    lambda mean: _with_constants(_log(mean) - 0.5, 0.0),
    values="numbers above 0",
)

# Outputs: log-rate.
poisson = Likelihood(
    per_element(1), lambda outputs: Poisson(outputs[..., 0]), lambda mean: _log(mean)[..., None], values="counts"
)

# Outputs: log-mean, log-dispersion; the variance is mean + mean^2 / dispersion.
negative_binomial = Likelihood(
    per_element(2),
    lambda outputs: NegativeBinomial(outputs[..., 0], outputs[..., 1]),
    lambda mean: _with_constants(_log(mean), 0.0),
    values="counts that vary more than those of a Poisson distribution",
)

# Outputs: log-mean, log-dispersion, logits of an additional zero.
zero_inflated_negative_binomial = Likelihood(
    per_element(3),
    lambda outputs: ZeroInflatedNegativeBinomial(outputs[..., 0], outputs[..., 1], outputs[..., 2]),
    lambda mean: _with_constants(_log(mean) - jax.nn.log_sigmoid(-_INITIAL_ZERO_LOGITS), 0.0, _INITIAL_ZERO_LOGITS),
    values="counts with additional zeros",
)


def categorical(num_categories: int) -> Likelihood:
    """Likelihood of categories without an order, integers in [0, K); the outputs are logits `[..., K]`.

    The initial outputs are 0: the mean of the numbers of categories says nothing of their frequencies.

    Args:
      num_categories: K, at least 2.
    """
    check_count("num_categories", num_categories, 2, LARGEST_SIZE)
    return Likelihood(
        per_element(num_categories),
        Categorical,
        lambda mean: jnp.zeros((*jnp.shape(mean), num_categories)),
        values=f"integers from 0 to {num_categories - 1}",
    )


def ordinal(num_categories: int) -> Likelihood:
    """Likelihood of ordered categories, integers in [0, K), by cumulative logits.

    The K - 1 outputs are the location and K - 2 increments of the cut points, of which the first is at 0: a shift of
    location and cut points together would change nothing. At the initial outputs the categories are equally probable
    if their mean is that of the integers, (K - 1) / 2; the location follows the mean.

    Args:
      num_categories: K, at least 2.
    """
    check_count("num_categories", num_categories, 2, LARGEST_SIZE)
    cuts = jax.scipy.special.logit(jnp.arange(1, num_categories) / num_categories)

    def distribution(outputs: jax.Array) -> Ordinal:
        increments = outputs.at[..., 0].set(0.0)  # in place of the location: the first cut point
        return Ordinal(outputs[..., 0], increments)

    def initial_outputs(mean: ArrayLike) -> jax.Array:
        share = jnp.clip(jnp.asarray(mean, jnp.float32) / (num_categories - 1), 0.05, 0.95)
        location = jax.scipy.special.logit(share) - cuts[0]
        increments = jnp.log(jnp.expm1(jnp.diff(cuts)))  # the inverse of softplus
        rest = jnp.broadcast_to(increments, (*location.shape, num_categories - 2))
        return jnp.concatenate([location[..., None], rest], axis=-1)

    return Likelihood(
        per_element(num_categories - 1),
        distribution,
        initial_outputs,
        values=f"ordered integers from 0 to {num_categories - 1}",
    )
