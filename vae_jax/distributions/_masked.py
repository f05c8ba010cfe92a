"""Distribution of the observed parts of an event: the likelihood of data with missing values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._distribution import (
    Distribution,
    UndefinedError,
    log_prob_terms_of,
    mean_of,
    point_estimate_of,
    standard_deviation_of,
)
from vae_jax.distributions._joint import lacking

MaskLink = Callable[[Any, Any], Distribution]  # (params, complete x) -> p(mask | x), over numbers 0 and 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Masked(Distribution):
    """log p(observed parts of x) = sum of `log_prob_terms` over the parts whose mask is not 0, in nats.

    Missing entries of x may hold any value, NaN included: a valid value takes their place before the density, and the
    selection follows it, so that neither the value nor a gradient sees them.

    Draws, `mean`, `point_estimate` and `standard_deviation` are those of the whole event: a decoder's p(x | z) remains
    a distribution over complete examples.

    Source: Mattei & Frellsen 2019 (arXiv:1812.02633), eq. 3 (values missing at random are integrated out).
    """

    distribution: Any  # a distribution with `log_prob_terms`
    mask: Any  # booleans or numbers with the structure and shapes of `log_prob_terms`; 0 or False: missing

    @property
    def mean(self) -> Any:
        with lacking():
            return mean_of(self.distribution)

    @property
    def standard_deviation(self) -> Any:
        with lacking():
            return standard_deviation_of(self.distribution)

    @property
    def point_estimate(self) -> Any:
        with lacking():
            return point_estimate_of(self.distribution)

    @property
    def support(self) -> str:  # type: ignore[override]  # a ClassVar elsewhere; here it depends on the parts
        """Support of the whole event, for error messages."""
        return self.distribution.support

    @property
    def observed(self) -> Any:
        """Booleans: True for the parts that are observed."""
        return jax.tree.map(lambda mask: jnp.asarray(mask) != 0, self.mask)

    @property
    def expectation(self) -> Any:
        return self.distribution.expectation

    def estimate(self, expectation: Any) -> Any:
        return self.distribution.estimate(expectation)

    def sample(self, key: jax.Array) -> Any:
        return self.distribution.sample(key)

    def supports(self, value: Any) -> jax.Array:
        """Returns a boolean scalar: whether the observed parts have a positive density for some parameters."""
        return self.distribution.supports(self.distribution.filled(value, self.observed))

    def filled(self, value: Any, observed: Any) -> Any:
        return self.distribution.filled(value, observed)

    def log_prob(self, value: Any) -> jax.Array:
        return sum(map(jnp.sum, jax.tree.leaves(self.log_prob_terms(value))), start=jnp.zeros(()))

    def log_prob_terms(self, value: Any) -> Any:
        """Log-densities of the parts; 0 for those that are missing.

        Raises:
          UndefinedError: if the distribution does not factorize.
          ValueError: if the mask does not have the structure and shapes of the parts.
        """
        terms = log_prob_terms_of(self.distribution, self.distribution.filled(value, self.observed))
        given, wanted = jax.tree.map(jnp.shape, self.mask), jax.tree.map(jnp.shape, terms)
        if given != wanted:
            raise ValueError(f"mask must have one entry for each part of the event, shape {wanted}, got {given}")
        return jax.tree.map(lambda observed, terms: jnp.where(observed, terms, 0.0), self.observed, terms)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WithMask(Distribution):
    """log p(x_observed, mask | z, x_missing) = log p(x_observed | z) + log p(mask | x), in nats, of x_observed.

    x_missing is a part of the latent code; x has the observed entries of the event and the missing entries of `drawn`.
    Draws, `mean` and `expectation` are complete events, with the missing entries of `drawn`.

    Source: Ipsen et al. 2021 (arXiv:2006.12871), eq. 3.
    """

    values: Distribution  # p(x | z), with `log_prob_terms`
    drawn: Any  # a complete x; only its missing entries are used
    mask: Any  # booleans or numbers with the structure and shapes of x; 0 or False: missing
    params: Any  # parameters of p(mask | x)
    link: MaskLink = dataclasses.field(metadata={"static": True})  # create it once, when the model is built

    @property
    def mean(self) -> Any:
        return self._completed(mean_of(self.values))

    @property
    def expectation(self) -> Any:
        """The mean.

        Raises:
          UndefinedError: for categories, which have none: use draws.
        """
        if not hasattr(self.values, "mean"):
            raise UndefinedError("categories that are not missing at random have no expectation: use draws")
        return self.mean

    @property
    def support(self) -> str:  # type: ignore[override]  # a ClassVar elsewhere; here it depends on the parts
        """Support of the whole event, for error messages."""
        return self.values.support

    @property
    def observed(self) -> Any:
        """Booleans: True for the parts that are observed."""
        return self._masked.observed

    @property
    def _masked(self) -> Masked:
        return Masked(self.values, self.mask)

    def estimate(self, expectation: Any) -> Any:
        return expectation

    def sample(self, key: jax.Array) -> Any:
        return self._completed(self.values.sample(key))

    def supports(self, value: Any) -> jax.Array:
        return self._masked.supports(value)

    def filled(self, value: Any, observed: Any) -> Any:
        return self.values.filled(value, observed)

    def log_prob(self, value: Any) -> jax.Array:
        numbers = jax.tree.map(lambda seen: seen.astype(jnp.float32), self.observed)
        return self._masked.log_prob(value) + self.link(self.params, self._completed(value)).log_prob(numbers)

    def _completed(self, value: Any) -> Any:
        return jax.tree.map(jnp.where, self.observed, value, self.drawn)
