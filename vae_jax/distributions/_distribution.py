"""Interface of the distributions: frozen pytrees of arrays, each over ONE event, with log-densities in nats.

An event may have any shape (a code `[D]`, an image `[H, W, C]`), and every density is summed over all of it. There is
no batch axis: map over a batch with `jax.vmap`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


class UndefinedError(TypeError):
    """Error for a density, mean or divergence that a type of distribution does not have, raised while tracing."""


class Distribution(Protocol):
    """Interface of an encoder's q(z | x), a prior p(z) and a decoder's p(x | z).

    A distribution may also have any of the following; the functions of this file use them and raise UndefinedError if
    they are missing:

    - `mean`, `standard_deviation`: properties, arrays with the event's shape;
    - `point_estimate`: a property, a point estimate of the event for distributions without a closed-form `mean`;
    - `probabilities`: a property of categories, `[..., K]`; their `mean` is not defined;
    - `kl(other)`: KL(self || other), or None if there is no closed form for this `other`;
    - `kl_per_dimension(other)`: the divergence of every independent part, or None; the sum is `kl(other)`;
    - `log_prob_terms(value)`: log-densities of the independent parts, an array whose sum is `log_prob(value)`;
    - `from_standard_normal(noise)`: maps draws of N(0, I), with the event's shape, to draws of the distribution.
    """

    support: ClassVar[str] = "the finite numbers"  # a phrase for error messages
    placeholder: ClassVar[float] = 0.0  # a number of the support, for missing entries of a value

    def sample(self, key: jax.Array) -> Any:
        """One draw, differentiable in the parameters if the distribution can be reparameterized."""
        ...

    def log_prob(self, value: Any) -> jax.Array:
        """Log-density (or log-probability) of one event: a scalar in nats.

        Raises:
          UndefinedError: if the class does not define it; such a distribution can only be sampled.
        """
        raise UndefinedError(f"{type(self).__name__} has no log_prob")

    def supports(self, value: Any) -> jax.Array:
        """Returns a boolean scalar: whether the event has a positive density for some parameters."""
        return all_finite(value)

    def filled(self, value: Any, observed: Any) -> Any:
        """Returns the value with a number of the support in place of the entries that are not observed."""
        value, observed = jnp.asarray(value), jnp.asarray(observed)
        if value.shape != observed.shape:
            raise ValueError(f"mask must have the shape of the value, {value.shape}, got {observed.shape}")
        return jnp.where(observed, value, jnp.asarray(self.placeholder, value.dtype))

    @property
    def expectation(self) -> Any:
        """The `probabilities` of categories, else the `mean`: averages over several z give those of the mixture."""
        return self.probabilities if hasattr(self, "probabilities") else mean_of(self)

    def estimate(self, expectation: Any) -> Any:
        """The event estimated by an average of `expectation`: the most probable category, or the mean itself."""
        return jnp.argmax(expectation, axis=-1).astype(jnp.int32) if hasattr(self, "probabilities") else expectation

    def sample_and_log_prob(self, key: jax.Array) -> tuple[Any, jax.Array]:
        """One draw and its log-density; overridden if computing both from the noise is more precise."""
        value = self.sample(key)
        return value, self.log_prob(value)


def kl_divergence(q: Distribution, p: Distribution) -> jax.Array:
    """KL(q || p) in closed form: a scalar in nats, never below 0.

    Raises:
      UndefinedError: if no closed form is known for this pair; a sampled estimate (`sampled_elbo`) needs none.
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
      UndefinedError: if the distribution has no density.
    """
    return _density(distribution, "log_prob", value)


def sample_and_log_prob_of(distribution: Distribution, key: jax.Array) -> tuple[Any, jax.Array]:
    """`distribution.sample_and_log_prob(key)`.

    Raises:
      UndefinedError: if the distribution has no density.
    """
    return _density(distribution, "sample_and_log_prob", key)


def _density(distribution: Distribution, method: str, argument: Any) -> Any:
    # hasattr instead of catching AttributeError, which would hide an error inside the method.
    if not hasattr(distribution, method):
        raise UndefinedError(f"{type(distribution).__name__} has no {method}")
    try:
        return getattr(distribution, method)(argument)
    except NotImplementedError as error:  # raised by distributions of other libraries (TFP, distrax)
        raise UndefinedError(f"{type(distribution).__name__} has no {method}: {error}") from error


def mean_of(distribution: Distribution) -> Any:
    """`distribution.mean`.

    Raises:
      UndefinedError: if the distribution has no mean (a Categorical); draw from it instead.
    """
    if not hasattr(distribution, "mean"):
        raise UndefinedError(f"{type(distribution).__name__} has no mean; draw from it with .sample(key) instead")
    return distribution.mean


def kl_per_dimension(q: Distribution, p: Distribution) -> Any:
    """KL(q_d || p_d) of every independent part d of the event: non-negative terms whose sum is KL(q || p).

    The parts are the entries of z, and the result has the shape of z. For one-hot vectors the parts are the places, and
    the result lacks the axis of the categories.

    Raises:
      UndefinedError: if q and p do not factorize alike, or a part has no closed form.
    """
    divergence = q.kl_per_dimension(p) if hasattr(q, "kl_per_dimension") else None
    if divergence is None:
        raise UndefinedError(
            f"no KL divergence per dimension from {type(q).__name__} to {type(p).__name__}: both distributions must "
            "factorize over the dimensions, as diagonal Normals do"
        )
    return divergence


def log_prob_terms_of(distribution: Distribution, value: Any) -> jax.Array:
    """`distribution.log_prob_terms(value)`: log-densities of the independent parts; their sum is `log_prob(value)`.

    Raises:
      UndefinedError: if the distribution does not factorize.
    """
    return _density(distribution, "log_prob_terms", value)


def standard_deviation_of(distribution: Distribution) -> Any:
    """`distribution.standard_deviation`, with the event's shape.

    Raises:
      UndefinedError: if the distribution has no standard deviation in closed form.
    """
    deviation = getattr(distribution, "standard_deviation", None)
    if deviation is None:
        raise UndefinedError(f"{type(distribution).__name__} has no standard_deviation in closed form")
    return deviation


def point_estimate_of(distribution: Distribution) -> Any:
    """`distribution.point_estimate` if the distribution has one (the ancestral mean of a chain), else its mean.

    Raises:
      UndefinedError: if the distribution has neither.
    """
    estimate = getattr(distribution, "point_estimate", None)
    return mean_of(distribution) if estimate is None else estimate


def from_standard_normal_of(distribution: Distribution, noise: Any) -> Any:
    """`distribution.from_standard_normal(noise)`: maps draws of N(0, I) to draws of the distribution.

    Raises:
      UndefinedError: if the distribution has no such map; draw with `sample(key)` instead.
    """
    return _density(distribution, "from_standard_normal", noise)


def all_finite(value: Any) -> jax.Array:
    """Returns a boolean scalar: whether every number in a pytree of arrays is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(jnp.asarray(leaf))) for leaf in jax.tree.leaves(value)]))


def in_unit_interval(value: ArrayLike) -> jax.Array:
    """Returns a boolean scalar: whether every number is in [0, 1]."""
    value = jnp.asarray(value)
    return jnp.all((value >= 0) & (value <= 1))


def discrete_kl_terms(log_p: jax.Array, log_other: jax.Array) -> jax.Array:
    """p log(p / p') - p + p' for each outcome: non-negative terms whose sum over all outcomes is KL(p || p').

    With r = log p' - log p, a term is p (expm1(r) - r). If p' is close to p, this form keeps the digits, and the sign,
    that p log(p / p') loses.
    """
    ratio = log_other - log_p
    near = jnp.abs(ratio) < 1.0
    r = jnp.where(near, ratio, 0.0)  # expm1 of the unused branch would overflow, in the gradient too
    p = jnp.exp(log_p)
    return jnp.where(near, p * (jnp.expm1(r) - r), jnp.exp(log_other) - p - p * ratio)


def event_arrays(*arrays: ArrayLike) -> tuple[jax.Array, ...]:
    """Returns the arguments of a density as arrays of one shape, in float32 or better (bfloat16 is promoted).

    Raises:
      AssertionError: if the shapes differ; broadcasting inside a density would hide mistakes.
    """
    promoted = tuple(jnp.asarray(a) for a in arrays)
    chex.assert_equal_shape(promoted)
    return tuple(a.astype(jnp.promote_types(a.dtype, jnp.float32)) for a in promoted)
