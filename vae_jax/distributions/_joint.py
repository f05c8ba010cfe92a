"""Joint distribution of independent parts: a tree of distributions over a tree of events, such as a row of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._distribution import (
    Distribution,
    UndefinedError,
    kl_divergence,
    kl_per_dimension,
    log_prob_terms_of,
    mean_of,
    point_estimate_of,
    standard_deviation_of,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Joint(Distribution):
    """log p(x) = sum_i log p_i(x_i), in nats, for independent parts x_i of one event.

    `Joint({"age": Normal(...), "smoker": Bernoulli(...)})` is a distribution over `{"age": ..., "smoker": ...}`.

    `mean`, `standard_deviation`, `point_estimate`, `log_prob_terms` and `kl_per_dimension` are trees of the results of
    the parts, and `kl` is their sum. A joint distribution lacks those that one of its parts lacks.
    """

    parts: Any  # a tree (dict, list, tuple) whose leaves are distributions

    @property
    def mean(self) -> Any:
        with lacking():
            return self._of_parts(mean_of)

    @property
    def standard_deviation(self) -> Any:
        with lacking():
            return self._of_parts(standard_deviation_of)

    @property
    def point_estimate(self) -> Any:
        with lacking():
            return self._of_parts(point_estimate_of)

    @property
    def support(self) -> str:  # type: ignore[override]  # a ClassVar elsewhere; here it depends on the parts
        """Supports of the parts, for error messages."""
        return ", ".join(dict.fromkeys(part.support for part in jax.tree.leaves(self.parts, is_leaf=is_distribution)))

    @property
    def expectation(self) -> Any:
        return self._of_parts(lambda part: part.expectation)

    def estimate(self, expectation: Any) -> Any:
        return self._of_parts(lambda part, own: part.estimate(own), expectation)

    def sample(self, key: jax.Array) -> Any:
        return self._of_parts(lambda part, key: part.sample(key), self._split(key))

    def supports(self, value: Any) -> jax.Array:
        return jnp.all(jnp.stack(self._leaves(lambda part, value: part.supports(value), value)))

    def filled(self, value: Any, observed: Any) -> Any:
        return self._of_parts(lambda part, value, observed: part.filled(value, observed), value, observed)

    def log_prob(self, value: Any) -> jax.Array:
        return self._sum(lambda part, value: part.log_prob(value), value)

    def log_prob_terms(self, value: Any) -> Any:
        return self._of_parts(log_prob_terms_of, value)

    def sample_and_log_prob(self, key: jax.Array) -> tuple[Any, jax.Array]:
        """Draws every part with its log-density, by the `sample_and_log_prob` of the part."""
        pairs = self._leaves(lambda part, key: part.sample_and_log_prob(key), self._split(key))
        structure = jax.tree.structure(self.parts, is_leaf=is_distribution)
        return jax.tree.unflatten(structure, [value for value, _ in pairs]), sum(log_prob for _, log_prob in pairs)

    def kl(self, other: Distribution) -> jax.Array | None:
        return self._sum(kl_divergence, other.parts) if isinstance(other, Joint) else None

    def kl_per_dimension(self, other: Distribution) -> Any:
        return self._of_parts(kl_per_dimension, other.parts) if isinstance(other, Joint) else None

    def _of_parts(self, function: Callable[..., Any], *trees: Any) -> Any:
        """Results of function(part, the part's subtree of each tree), in the structure of the parts."""
        return jax.tree.map(function, self.parts, *trees, is_leaf=is_distribution)

    def _leaves(self, function: Callable[..., Any], *trees: Any) -> list[Any]:
        results: list[Any] = []
        self._of_parts(lambda *arguments: results.append(function(*arguments)), *trees)
        return results

    def _sum(self, function: Callable[..., jax.Array], *trees: Any) -> jax.Array:
        return sum(self._leaves(function, *trees), start=jnp.zeros(()))

    def _split(self, key: jax.Array) -> Any:
        """A key for each part, in the structure of the parts."""
        leaves, structure = jax.tree.flatten(self.parts, is_leaf=is_distribution)
        return jax.tree.unflatten(structure, list(jax.random.split(key, len(leaves))))


@contextmanager
def lacking() -> Iterator[None]:
    """Turns the UndefinedError of a part into an AttributeError, so that `hasattr` finds no such property."""
    try:
        yield
    except UndefinedError as error:
        raise AttributeError(str(error)) from error


def is_distribution(node: Any) -> bool:
    """Returns True for a distribution, False for another node of a tree of distributions."""
    return hasattr(node, "sample")
