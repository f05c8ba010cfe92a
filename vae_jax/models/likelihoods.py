"""Likelihoods p(x | z): distributions over examples parameterized by the outputs of a decoder network.

Those named here are likelihoods of pixels, and each can be named on the command line; `models.column_likelihoods` has
those of the columns of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Distribution,
    Joint,
    Laplace,
    Normal,
    StudentT,
)
from vae_jax.distributions._checks import check_number

# Initial log-scale of the density of a pixel: about a tenth of the range [0, 1].
INITIAL_LOG_SCALE = -2.0


class Likelihood(NamedTuple):
    """Shape of a decoder's outputs, their distribution p(x | z), and initial outputs.

    The likelihoods of this module read n numbers for each number of an example, in the last axis of outputs
    `[*x.shape, n]`. The examples and outputs of your own likelihood may be any pytrees.
    """

    output_shape: Callable[[Any], Any]  # (shape of an example, or a tree of shapes) -> shape of the decoder's outputs
    distribution: Callable[[Any], Distribution]  # (outputs) -> p(x | z)
    initial_outputs: Callable[[Any], Any]  # (data mean, with the shape of an example) -> outputs
    # For bits per dimension of 8-bit pixels. 1: p(x | z) is a probability of the pixels. 256: it is a density of
    # dequantized pixels. None: bits per dimension are not defined.
    levels: int | None = None
    values: str = ""  # values that x may have, for help texts


def per_element(num_outputs: int) -> Callable[[Sequence[int]], tuple[int, ...]]:
    """Returns the `output_shape` of a likelihood that reads `num_outputs` numbers for each number of an example."""
    return lambda example_shape: (*example_shape, num_outputs)


def _logit(mean: ArrayLike) -> jax.Array:
    # Pixels that are never (or always) on would have infinite initial logits.
    return jax.scipy.special.logit(jnp.clip(jnp.asarray(mean), 1e-3, 1.0 - 1e-3))[..., None]


def _location_and_log_scale(log_scale: float) -> Callable[[jax.Array], jax.Array]:
    return lambda mean: jnp.stack([mean, jnp.full_like(mean, log_scale)], axis=-1)


bernoulli = Likelihood(
    per_element(1),
    lambda outputs: Bernoulli(outputs[..., 0]),
    _logit,
    values="bits, or gray values as probabilities of 1",
)

# The mean of a continuous Bernoulli is not sigmoid(logit), but initial logits need only be of the right magnitude.
continuous_bernoulli = Likelihood(
    per_element(1), lambda outputs: ContinuousBernoulli(outputs[..., 0]), _logit, values="gray values in [0, 1]"
)

logistic = Likelihood(
    per_element(2),
    lambda outputs: DiscretizedLogistic(outputs[..., 0], outputs[..., 1]),
    _location_and_log_scale(INITIAL_LOG_SCALE),
    levels=1,
    values="8-bit values, logistic distribution in 256 bins",
)

normal = Likelihood(
    per_element(2),
    lambda outputs: Normal(outputs[..., 0], outputs[..., 1]),
    _location_and_log_scale(2.0 * INITIAL_LOG_SCALE),
    levels=256,
    values="Normal density of dequantized values",
)

laplace = Likelihood(
    per_element(2),
    lambda outputs: Laplace(outputs[..., 0], outputs[..., 1]),
    _location_and_log_scale(INITIAL_LOG_SCALE),
    levels=256,
    values="Laplace density of dequantized values",
)


def student_t_of(outputs: jax.Array) -> StudentT:
    """StudentT of outputs `[..., 3]`: location, log-scale, and h, which gives 3 + softplus(h) degrees of freedom.

    Source: Mattei & Frellsen 2019 (arXiv:1812.02633).
    """
    return StudentT(outputs[..., 0], outputs[..., 1], jnp.log1p(jax.nn.softplus(outputs[..., 2])))


student_t = Likelihood(
    per_element(3),
    student_t_of,
    lambda mean: jnp.stack([mean, jnp.full_like(mean, INITIAL_LOG_SCALE), jnp.zeros_like(mean)], axis=-1),
    levels=256,
    values="Student-t density of dequantized values",
)


def joint(parts: Mapping[str, Likelihood]) -> Likelihood:
    """Likelihood of an example that is a dict of arrays, by a likelihood for each array: log p is the sum.

    The decoder's outputs are a dict of arrays with the same names; `networks.with_tree_outputs` makes them of a vector.

    Args:
      parts: likelihood of each array of the example, by its name.
    """
    by_part = lambda function, trees: {name: function(part)(trees[name]) for name, part in parts.items()}
    return Likelihood(
        lambda shapes: by_part(lambda part: part.output_shape, shapes),
        lambda outputs: Joint(by_part(lambda part: part.distribution, outputs)),
        lambda means: by_part(lambda part: part.initial_outputs, means),
    )


def fixed_normal(variance: float) -> Likelihood:
    """N(mean, variance) at every pixel, with a fixed variance: squared errors, in nats.

    Args:
      variance: above 0. With 1 / (2 pi), -log p(x | z) = pi |x - mean|^2, without a constant.

    Raises:
      ValueError: if variance is not above 0.
    """
    check_number("variance", variance, 0.0, above=True)
    log_variance = math.log(variance)
    distribution = lambda outputs: Normal(outputs[..., 0], jnp.full(outputs.shape[:-1], log_variance))
    return Likelihood(per_element(1), distribution, lambda mean: mean[..., None])
