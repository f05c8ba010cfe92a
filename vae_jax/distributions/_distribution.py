"""What every distribution here is: a frozen pytree of arrays that speaks of ONE event, in nats.

An event may have any shape (a code `[D]`, an image `[H, W, C]`); every density is summed over all of it, so there is
no batch axis to get wrong: map over a batch with `jax.vmap`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


class UndefinedError(TypeError):
    """A density, a mean or a divergence that the type of a distribution does not have: raised while tracing."""


class Distribution(Protocol):
    """The interface of an encoder's q(z | x), a prior p(z) and a decoder's p(x | z).

    A distribution has these or leaves them out; functions of this file ask for them and raise UndefinedError:

    - `mean`, `standard_deviation`: properties, arrays of the event's shape;
    - `point_estimate`: a property, the value that stands for the event if there is no `mean` in closed form;
    - `kl(other)`: KL(self || other) in closed form, None for an `other` to which there is none;
    - `kl_per_dimension(other)`: the divergence of every independent part, None like `kl`; the sum is `kl(other)`;
    - `log_prob_terms(value)`: log-densities of the independent parts, an array whose sum is `log_prob(value)`;
    - `from_standard_normal(noise)`: maps draws of N(0, I), of the event's shape, to draws of the distribution.
    """

    support: ClassVar[str] = "the finite numbers"  # in words, for messages

    def sample(self, key: jax.Array) -> Any:
        """One draw, differentiable in the parameters where the distribution can be reparameterized."""
        ...

    def log_prob(self, value: Any) -> jax.Array:
        """The log-density (or log-probability) of one event: a scalar in nats.

        Raises:
          UndefinedError: where there is none: a class that leaves this out can be drawn from, and no more.
        """
        raise UndefinedError(f"{type(self).__name__} has no log_prob")

    def supports(self, value: Any) -> jax.Array:
        """Returns, as a boolean scalar, whether the event has a positive density under some parameters."""
        return all_finite(value)

    def sample_and_log_prob(self, key: jax.Array) -> tuple[Any, jax.Array]:
        """One draw and its own log-density; overridden where the value alone has lost digits that the noise had."""
        value = self.sample(key)
        return value, self.log_prob(value)


def kl_divergence(q: Distribution, p: Distribution) -> jax.Array:
    """KL(q || p) in closed form: a scalar in nats, never below 0.

    Raises:
      UndefinedError: where no closed form is known for this pair; a sampled estimate (`sampled_elbo`) needs none.
    """
    divergence = q.kl(p) if hasattr(q, "kl") else None
    if divergence is None:
        raise UndefinedError(
            f"no closed-form KL divergence from {type(q).__name__} to {type(p).__name__}; "
            "use the sampled estimate instead (sampled_elbo, objectives.negative_sampled_elbo)"
        )
    return divergence


def log_prob_of(distribution: Distribution, value: Any) -> jax.Array:
    """`distribution.log_prob(value)`.

    Raises:
      UndefinedError: where the distribution has no density.
    """
    return _density(distribution, "log_prob", value)


def sample_and_log_prob_of(distribution: Distribution, key: jax.Array) -> tuple[Any, jax.Array]:
    """`distribution.sample_and_log_prob(key)`.

    Raises:
      UndefinedError: where the distribution has no density.
    """
    return _density(distribution, "sample_and_log_prob", key)


def _density(distribution: Distribution, method: str, argument: Any) -> Any:
    # By the method's presence: an AttributeError from inside it is a mistake there, and comes out as it is.
    if not hasattr(distribution, method):
        raise UndefinedError(f"{type(distribution).__name__} has no {method}")
    try:
        return getattr(distribution, method)(argument)
    except NotImplementedError as error:  # of a distribution of another library (TFP, distrax): it has the name only
        raise UndefinedError(f"{type(distribution).__name__} has no {method}: {error}") from error


def mean_of(distribution: Distribution) -> Any:
    """`distribution.mean`.

    Raises:
      UndefinedError: for a distribution that has none (a Categorical); draw from it instead.
    """
    if not hasattr(distribution, "mean"):
        raise UndefinedError(f"{type(distribution).__name__} has no mean; draw from it with .sample(key) instead")
    return distribution.mean


def kl_per_dimension(q: Distribution, p: Distribution) -> Any:
    """KL(q_d || p_d) of every independent part d of the event: non-negative, and their sum is KL(q || p).

    The parts are the numbers of z, so that the result has its shape; for one-hot vectors they are the places, without
    the axis of the categories.

    Raises:
      UndefinedError: if q and p do not factorize alike, or a part has no closed form.
    """
    divergence = q.kl_per_dimension(p) if hasattr(q, "kl_per_dimension") else None
    if divergence is None:
        raise UndefinedError(
            f"no KL divergence per dimension from {type(q).__name__} to {type(p).__name__}: it needs two distributions "
            "that factorize over the dimensions, such as diagonal Normals"
        )
    return divergence


def log_prob_terms_of(distribution: Distribution, value: Any) -> jax.Array:
    """`distribution.log_prob_terms(value)`: log-densities of the independent parts; their sum is `log_prob(value)`.

    Raises:
      UndefinedError: if the distribution does not factorize.
    """
    return _density(distribution, "log_prob_terms", value)


def standard_deviation_of(distribution: Distribution) -> Any:
    """`distribution.standard_deviation`, of every number of the event.

    Raises:
      UndefinedError: for a distribution that has none in closed form.
    """
    deviation = getattr(distribution, "standard_deviation", None)
    if deviation is None:
        raise UndefinedError(f"{type(distribution).__name__} has no standard_deviation in closed form")
    return deviation


def point_estimate_of(distribution: Distribution) -> Any:
    """`distribution.point_estimate` if it has one (the ancestral mean of a chain), else its mean.

    Raises:
      UndefinedError: for a distribution that has neither.
    """
    estimate = getattr(distribution, "point_estimate", None)
    return mean_of(distribution) if estimate is None else estimate


def from_standard_normal_of(distribution: Distribution, noise: Any) -> Any:
    """`distribution.from_standard_normal(noise)`: maps draws of N(0, I), of the event's shape, to draws of it.

    Raises:
      UndefinedError: for a distribution without such a map: its draws are made by `sample(key)` alone.
    """
    return _density(distribution, "from_standard_normal", noise)


def all_finite(value: Any) -> jax.Array:
    """Returns, as a boolean scalar, whether every number of a pytree of arrays is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(jnp.asarray(leaf))) for leaf in jax.tree.leaves(value)]))


def in_unit_interval(value: ArrayLike) -> jax.Array:
    """Returns, as a boolean scalar, whether every number is in [0, 1]."""
    value = jnp.asarray(value)
    return jnp.all((value >= 0) & (value <= 1))


def discrete_kl_terms(log_p: jax.Array, log_other: jax.Array) -> jax.Array:
    """p log(p / p') - p + p' of each outcome: their sum over all outcomes is KL(p || p'), and none is below 0.

    With r = log p' - log p a term is p (expm1(r) - r), which keeps the digits that p log(p / p') alone loses, and with
    them the sign, where p' is close to p.
    """
    ratio = log_other - log_p
    near = jnp.abs(ratio) < 1.0
    r = jnp.where(near, ratio, 0.0)  # expm1 of the unused branch would overflow, in the gradient too
    p = jnp.exp(log_p)
    return jnp.where(near, p * (jnp.expm1(r) - r), jnp.exp(log_other) - p - p * ratio)


def event_arrays(*arrays: ArrayLike) -> tuple[jax.Array, ...]:
    """The arguments of a density as arrays of one shape, in float32 or better (bfloat16 is promoted).

    Raises:
      AssertionError: where the shapes differ: broadcasting inside a density hides mistakes.
    """
    promoted = tuple(jnp.asarray(a) for a in arrays)
    chex.assert_equal_shape(promoted)
    return tuple(a.astype(jnp.promote_types(a.dtype, jnp.float32)) for a in promoted)
