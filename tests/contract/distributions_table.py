"""Table of all distributions for the tests of `test_distributions.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import distributions as d
from vae_jax.models import likelihoods
from vae_jax.models.likelihoods import Likelihood


def array(*values: float) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


class DistributionRow(NamedTuple):
    example: Any  # a distribution over an event of several places, with ordinary parameters
    event: Any  # one event
    extremes: tuple[tuple[Any, Any], ...]  # pairs (distribution, event) with parameters at +-200 or +-30
    event_dtype: Any
    continuous: bool  # whether there is a density, with a gradient in the event
    reparameterized: bool | None  # whether draws have gradients in all parameters (True), none (False) or some (None)
    support: Callable[[Any], np.ndarray] | None  # support of one place, a fine grid or all outcomes; None: point mass
    marginals: tuple[Any, ...] | None = None  # marginals of the places; None if the places are independent
    outside: tuple[Any, ...] = ()  # events that are not supported, beside those that every row tests


def _grid(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 20_001, dtype=np.float32)


LIKELIHOODS = {name: value for name, value in vars(likelihoods).items() if isinstance(value, Likelihood)}
PIXELS = (np.arange(256) / 255).astype(np.float32)
WIDE = array(-30.0, 30.0, -30.0, 30.0)
LOGITS = array(-200.0, 200.0, -200.0, 200.0)


def _normal_support(q: d.Normal) -> np.ndarray:
    deviation = float(jnp.exp(q.log_variance[0] / 2))
    return _grid(float(q.mean[0]) - 9 * deviation, float(q.mean[0]) + 9 * deviation)


def _log_normal_support(q: d.LogNormal) -> np.ndarray:
    deviation = float(jnp.exp(q.log_variance[0] / 2))
    return np.exp(float(q.location[0]) + deviation * _grid(-9, 9))


def _count_row(example: Any, extremes: tuple[Any, ...]) -> DistributionRow:
    """Row for a distribution of counts."""
    return DistributionRow(
        example,
        array(0.0, 1.0, 17.0),
        tuple((extreme, array(0.0, 2.0, 0.0, 3.0)) for extreme in extremes),
        jnp.float32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.arange(200, dtype=np.float32),
        outside=(array(0.5, 1.0, 2.0), array(0.0, -1.0, 2.0), array(0.0, jnp.inf, 2.0)),
    )


def linear_conditional(params: Any, before: jax.Array) -> d.Normal:
    return d.Normal(params["weights"] @ before + params["bias"], params["log_variance"])


def linear_chain(log_variances: tuple[float, float, float], from_last: bool = False) -> d.Chain:
    """Chain of two places and a third whose mean is 1.5 z_0 - 0.8 z_1 + 0.3."""
    params = {
        "weights": jnp.asarray([[1.5, -0.8]], jnp.float32),
        "bias": array(0.3),
        "log_variance": array(log_variances[2]),
    }
    first = d.Normal(array(0.5, -1.0), array(*log_variances[:2]))
    return d.Chain(first, (params,), (linear_conditional,), from_last)


CORRELATED = jnp.asarray([[0.6, 0.0, 0.0], [-1.2, 0.8, 0.0], [0.5, -0.7, 1.5]], jnp.float32)


def _rows_scaled(*log_scales: float) -> jax.Array:
    return jnp.exp(array(*log_scales))[:, None] * CORRELATED


MIXTURE = d.Mixture(
    array(0.5, -0.5, 1.0),
    d.Normal(
        jnp.asarray([[0.0, -3.0], [2.0, 1.0], [-4.0, 0.5]], jnp.float32),
        jnp.asarray([[0.0, -1.0], [-2.0, 0.5], [0.3, -0.4]], jnp.float32),
    ),
)


def _mixture_marginal(place: int) -> d.Mixture:
    components = MIXTURE.components
    return d.Mixture(
        MIXTURE.logits,
        d.Normal(components.mean[:, place : place + 1], components.log_variance[:, place : place + 1]),
    )


def _likelihood_row(likelihood: Likelihood) -> DistributionRow:
    """Row for the distribution of a likelihood."""
    count = likelihood.output_shape(())[0]
    make = lambda *parameters: likelihood.distribution(jnp.stack(parameters[:count], axis=-1))
    example = make(array(0.5, -2.0, 3.0), array(-1.0, 0.5, 1.0), array(10.0, 15.0, 20.0))
    place = jax.tree.map(lambda a: a[:1], example)
    total = lambda values: np.exp(np.asarray(jax.vmap(place.log_prob)(values[:, None]), np.float64)).sum()
    # The distribution is discrete if the probabilities of all outcomes sum to 1.
    outcomes = next((values for values in (PIXELS[[0, 255]], PIXELS) if abs(total(values) - 1) < 1e-3), None)
    bounded = not place.supports(array(-1.0))

    def support(q: Any) -> np.ndarray:
        if bounded:
            return _grid(0, 1) if outcomes is None else outcomes
        width = 13 * float(q.standard_deviation[0])
        return _grid(float(q.mean[0]) - width, float(q.mean[0]) + width)

    low, middle, high = (0.0, 0.4, 1.0) if bounded else (0.0, -1.0, 4.0)  # 0.4 is 102 / 255
    extremes = (
        (make(LOGITS, WIDE, WIDE), array(low, low, high, high)),
        (make(array(0.0, 1e-6, 0.5, 1.0), WIDE, -WIDE), array(low, middle, high, high)),
    )
    continuous = outcomes is None
    return DistributionRow(example, array(low, middle, high), extremes, jnp.float32, continuous, continuous, support)


DISTRIBUTIONS: dict[str, DistributionRow] = {
    **{type(row.example).__name__: row for row in map(_likelihood_row, LIKELIHOODS.values())},
    "MultivariateNormal": DistributionRow(
        d.MultivariateNormal(array(0.5, -2.0, 3.0), CORRELATED),
        array(0.0, -1.0, 4.0),
        (
            (d.MultivariateNormal(array(0.0, 1.0, 1.0), _rows_scaled(-15.0, 15.0, -15.0)), array(0.0, 3.0, 3.0)),
            (d.MultivariateNormal(array(0.0, 1.0, 1.0), _rows_scaled(15.0, -15.0, 15.0)), array(0.0, 3.0, 3.0)),
        ),
        jnp.float32,
        continuous=True,
        reparameterized=None,  # the entries above the diagonal have no gradient
        support=_normal_support,
        marginals=tuple(
            d.Normal(array(mean), jnp.log(jnp.sum(jnp.square(row)))[None])
            for mean, row in zip((0.5, -2.0, 3.0), CORRELATED, strict=True)
        ),
    ),
    "LogNormal": DistributionRow(
        d.LogNormal(array(0.5, -2.0, 3.0), array(-1.0, -2.0, -1.5)),
        array(1.0, 0.2, 4.0),
        ((d.LogNormal(array(-30.0, 30.0, 30.0, -30.0), WIDE), array(1e-13, 1e13, 3.0, 3.0)),),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=_log_normal_support,
        outside=(array(1.0, 0.0, 4.0), array(-1.0, 1.0, 4.0)),
    ),
    "Poisson": _count_row(d.Poisson(array(0.5, -2.0, 3.0)), (d.Poisson(WIDE),)),
    "NegativeBinomial": _count_row(
        d.NegativeBinomial(array(0.5, -2.0, 2.0), array(1.0, -0.5, 1.5)),
        (d.NegativeBinomial(WIDE, WIDE), d.NegativeBinomial(WIDE, -WIDE)),
    ),
    "ZeroInflatedNegativeBinomial": _count_row(
        d.ZeroInflatedNegativeBinomial(array(0.5, 0.0, 2.0), array(1.0, -0.5, 1.5), array(-1.0, 0.5, 1.0)),
        (
            d.ZeroInflatedNegativeBinomial(WIDE, WIDE, LOGITS),
            d.ZeroInflatedNegativeBinomial(WIDE, -WIDE, LOGITS[::-1]),
        ),
    ),
    "Ordinal": DistributionRow(
        d.Ordinal(array(0.3, -0.5), jnp.asarray([[-1.0, 1.0, 0.5], [0.0, -1.0, 2.0]], jnp.float32)),
        jnp.asarray([1, 3], jnp.int32),
        (
            (
                d.Ordinal(array(200.0, -200.0), jnp.asarray([[200.0, -200.0, 0.0], [-200.0, 200.0, 200.0]])),
                jnp.asarray([1, 0], jnp.int32),
            ),
        ),
        jnp.int32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.arange(4, dtype=np.int32),
        outside=(jnp.asarray([-1, 2], jnp.int32), jnp.asarray([1.0, 2.0], jnp.float32)),
    ),
    "Categorical": DistributionRow(
        d.Categorical(jnp.asarray([[0.0, 1.0, -1.0, 0.5], [2.0, 0.0, 0.0, -2.0]], jnp.float32)),
        jnp.asarray([1, 3], jnp.int32),
        ((d.Categorical(jnp.asarray([[200.0, -200.0, 0.0], [-200.0, 200.0, 200.0]])), jnp.asarray([1, 0], jnp.int32)),),
        jnp.int32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.arange(q.logits.shape[-1], dtype=np.int32),
    ),
    "DiscreteUniform": DistributionRow(
        d.DiscreteUniform(jnp.asarray([5, 5], jnp.int32)),
        jnp.asarray([1, 4], jnp.int32),
        (),  # integers have no gradients
        jnp.int32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.arange(q.sizes[0], dtype=np.int32),
    ),
    "OneHotCategorical": DistributionRow(
        d.OneHotCategorical(jnp.log(jnp.asarray([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]], jnp.float32))),
        jnp.asarray([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], jnp.float32),
        (
            (
                d.OneHotCategorical(jnp.asarray([[200.0, -200.0, 0.0], [-200.0, 200.0, 200.0]])),
                jnp.asarray([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], jnp.float32),
            ),
        ),
        jnp.float32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.array([0.0, 1.0], np.float32),
        marginals=tuple(d.Bernoulli(array(np.log(p / (1 - p)))) for p in (0.2, 0.5, 0.3, 0.6, 0.1, 0.3)),
    ),
    "Delta": DistributionRow(
        # Integers, since a Delta of floating-point values has no density (tests/distributions/test_delta.py).
        d.Delta(jnp.asarray([0, -2, 3], jnp.int32)),
        jnp.asarray([0, -2, 3], jnp.int32),
        (),
        jnp.int32,
        continuous=False,
        reparameterized=False,
        support=None,
    ),
    "Chain": DistributionRow(
        linear_chain((-1.0, 0.5, 0.2)),
        (array(0.0, -1.0), array(2.0)),
        (
            (linear_chain((-30.0, 30.0, -30.0)), (array(0.5, 3.0), array(-1.0))),
            (linear_chain((30.0, -30.0, 30.0), from_last=True), (array(2.0), array(3.0, -1.0))),
        ),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=_normal_support,
        marginals=(
            d.Normal(array(0.5), array(-1.0)),
            d.Normal(array(-1.0), array(0.5)),
            # Variance 1.5^2 exp(-1) + 0.8^2 exp(0.5) + exp(0.2).
            d.Normal(array(1.85), array(np.log(1.5**2 * np.exp(-1) + 0.8**2 * np.exp(0.5) + np.exp(0.2)))),
        ),
    ),
    "Joint": DistributionRow(
        d.Joint({"a": d.Normal(array(0.5, -2.0), array(-1.0, 0.5)), "b": d.Laplace(array(3.0), array(1.0))}),
        {"a": array(0.0, -1.0), "b": array(4.0)},
        (
            (
                d.Joint({"a": d.Normal(LOGITS, WIDE), "b": d.Laplace(LOGITS, WIDE)}),
                {"a": array(0.0, 0.0, 3.0, 3.0), "b": array(0.0, 0.0, 3.0, 3.0)},
            ),
        ),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=lambda q: _grid(float(q.mean[0]) - 40, float(q.mean[0]) + 40),
        marginals=(
            d.Normal(array(0.5), array(-1.0)),
            d.Normal(array(-2.0), array(0.5)),
            d.Laplace(array(3.0), array(1.0)),
        ),
    ),
    "Masked": DistributionRow(
        d.Masked(d.Normal(array(0.5, -2.0, 3.0), array(-1.0, 0.5, 1.0)), array(1.0, 0.0, 1.0)),
        array(0.0, -1.0, 4.0),
        ((d.Masked(d.Normal(LOGITS, WIDE), array(1.0, 0.0, 1.0, 0.0)), array(0.0, 0.0, 3.0, 3.0)),),
        jnp.float32,
        continuous=True,
        reparameterized=None,  # the mask has no gradient
        support=_normal_support,
        marginals=tuple(
            d.Normal(array(mean), array(lv)) for mean, lv in zip((0.5, -2.0, 3.0), (-1.0, 0.5, 1.0), strict=True)
        ),
    ),
    "Mixture": DistributionRow(
        MIXTURE,
        array(0.0, -1.0),
        (
            (d.Mixture(LOGITS, d.Normal(jnp.zeros((4, 2)), WIDE[:, None] * jnp.ones((1, 2)))), array(0.0, 3.0)),
            (d.Mixture(LOGITS, d.Normal(jnp.full((4, 2), 200.0), jnp.full((4, 2), -30.0))), array(-200.0, 0.0)),
        ),
        jnp.float32,
        continuous=True,
        reparameterized=None,
        support=lambda q: _grid(-13.0, 13.0),
        marginals=(_mixture_marginal(0), _mixture_marginal(1)),
    ),
}
