"""p(x | z) as an axis of its own: how a decoder network's outputs become a distribution over images.

Each `Likelihood` reads `num_outputs` numbers at every place of the image, in the last axis of the outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Distribution,
    Laplace,
    Normal,
)
from vae_jax.distributions._checks import check_number

# The starting width of a pixel's density, about a tenth of the range [0, 1].
INITIAL_LOG_SCALE = -2.0


class Likelihood(NamedTuple):
    """How outputs `[H, W, C, num_outputs]` parameterise p(x | z), and where training should start."""

    num_outputs: int
    distribution: Callable[[jax.Array], Distribution]
    initial_outputs: Callable[[jax.Array], jax.Array]  # the data mean [H, W, C] -> outputs [H, W, C, num_outputs]


def _logit(mean: ArrayLike) -> jax.Array:
    # Pixels that are never (or always) on would start at an infinite logit.
    return jax.scipy.special.logit(jnp.clip(jnp.asarray(mean), 1e-3, 1.0 - 1e-3))[..., None]


def _location_and_log_scale(log_scale: float) -> Callable[[jax.Array], jax.Array]:
    return lambda mean: jnp.stack([mean, jnp.full_like(mean, log_scale)], axis=-1)


bernoulli = Likelihood(1, lambda outputs: Bernoulli(outputs[..., 0]), _logit)

# The mean of a continuous Bernoulli is not sigmoid(logit), but the sign and the order of magnitude are right.
continuous_bernoulli = Likelihood(1, lambda outputs: ContinuousBernoulli(outputs[..., 0]), _logit)

logistic = Likelihood(
    2,
    lambda outputs: DiscretizedLogistic(outputs[..., 0], outputs[..., 1]),
    _location_and_log_scale(INITIAL_LOG_SCALE),
)

normal = Likelihood(
    2, lambda outputs: Normal(outputs[..., 0], outputs[..., 1]), _location_and_log_scale(2.0 * INITIAL_LOG_SCALE)
)

laplace = Likelihood(
    2, lambda outputs: Laplace(outputs[..., 0], outputs[..., 1]), _location_and_log_scale(INITIAL_LOG_SCALE)
)


def fixed_normal(variance: float) -> Likelihood:
    """N(mean, variance) at every pixel, the variance a number that is not learnt: squared errors, in nats.

    Args:
      variance: above 0. 1 / (2 pi) makes -log p(x | z) = pi |x - mean|^2, with no constant.

    Raises:
      ValueError: where variance is not above 0.
    """
    check_number("variance", variance, 0.0, above=True)
    log_variance = math.log(variance)
    distribution = lambda outputs: Normal(outputs[..., 0], jnp.full(outputs.shape[:-1], log_variance))
    return Likelihood(1, distribution, lambda mean: mean[..., None])
