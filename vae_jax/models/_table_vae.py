"""VAE of the rows of a table with columns of different kinds and missing cells."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import LARGEST_SIZE, check_count, check_sizes
from vae_jax.models import column_likelihoods, likelihoods
from vae_jax.models._checks import check_latent_dim
from vae_jax.models._gaussian_vae import gaussian_vae
from vae_jax.models._model import Conditional
from vae_jax.models._with_missing import with_missing
from vae_jax.models.likelihoods import Likelihood
from vae_jax.networks import mlp_decoder, mlp_encoder, num_outputs, with_tree_outputs

Statistics = Mapping[str, tuple[ArrayLike, ArrayLike]]

_GROUP = re.compile(r"continuous|positive|count|binary|(?:category|ordinal)_(\d+)")
# Least log-variance: standard deviations of 1/100 of the column's. Without one the density of a column with repeated
# values, such as zeros, has no upper bound. Dispersions of counts, too, are at least 1/10,000 of the column's.
_LEAST_LOG_VARIANCE = 2.0 * math.log(0.01)
_LEAST_SHARE = 1e-4  # of a level without training rows, whose initial logit would be -inf


def table_vae(
    shapes: Mapping[str, Sequence[int]],
    latent_dim: int = 10,
    hidden: Sequence[int] = (128, 128),
    continuous: Likelihood = column_likelihoods.normal,
    statistics: Statistics | None = None,
) -> Conditional:
    """Gaussian VAE with ReLU MLPs of rows of a table, `Example(x, mask)`; missing cells are integrated out.

    x is a dict by group of columns, as `data.Encoding` encodes it, and the mask one of booleans with the same shapes:

    | group | x | p(x given z) |
    |---|---|---|
    | `continuous` | standardized numbers `[n]` | `continuous` |
    | `positive` | numbers above 0, divided by their geometric mean | LogNormal |
    | `count` | whole numbers | NegativeBinomial |
    | `binary` | 0 and 1 | Bernoulli |
    | `category_K` | integers in [0, K) | Categorical |
    | `ordinal_K` | integers in [0, K), ordered | Ordinal |

    The encoder sees standardized numbers (logarithms of positive numbers and of 1 + counts), one-hot categories, zeros
    in place of missing cells, and the mask. At outputs of 0 the decoder gives each column the distribution that fits
    its training rows without z; the network learns the difference.

    Args:
      shapes: shape `(n,)` of each group; `data.Encoding.shapes`.
      latent_dim: length of z.
      hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
      continuous: likelihood of standardized numbers, such as `column_likelihoods.student_t`. Its second output, if it
        has one, is the logarithm of a variance or scale, and is kept above log 10^-4.
      statistics: mean and standard deviation of each group in the training rows, as `data.Encoding.statistics` gives
        them. Default: means of 0 (counts: 1; binary: 1/2), deviations of 1, equal shares of levels.

    Raises:
      ValueError: if a group has an unknown name or is empty, or statistics have other shapes.

    Source: Nazabal et al. 2020 (arXiv:1807.03653) give each column a likelihood of its kind; Mattei & Frellsen 2019
      (arXiv:1812.02633) mask it.
    """
    check_latent_dim(latent_dim)
    check_sizes("hidden", hidden)
    if not shapes:
        raise ValueError("shapes must have at least one group of columns, such as {'continuous': (3,)}")
    groups = {name: _group(name, shape, continuous, statistics) for name, shape in shapes.items()}
    likelihood = likelihoods.joint({name: group.likelihood for name, group in groups.items()})

    def inputs(x: Any, observed: Any) -> jax.Array:
        features = [_seen(group.features(x[name]), observed[name]) for name, group in groups.items()]
        return jnp.concatenate([*features, *(observed[name].astype(jnp.float32) for name in groups)])

    outputs = likelihood.output_shape({name: tuple(shape) for name, shape in shapes.items()})
    encoder = mlp_encoder((sum(group.num_inputs for group in groups.values()),), 2 * latent_dim, hidden)
    decoder = mlp_decoder(latent_dim, (num_outputs(outputs),), tuple(hidden)[::-1])
    return with_missing(gaussian_vae(encoder, with_tree_outputs(decoder, outputs), latent_dim, likelihood), inputs)


def _seen(features: jax.Array, observed: jax.Array) -> jax.Array:
    """Features `[n]` or `[n, K]` as a vector, with 0 at missing cells."""
    return jnp.where(observed.reshape(-1, *(1,) * (features.ndim - 1)), features, 0.0).ravel()


class _Group(NamedTuple):
    num_inputs: int  # of the encoder, the mask included
    features: Callable[[jax.Array], jax.Array]  # (x with valid values at missing cells) -> [n] or [n, K]
    likelihood: Likelihood


def _group(name: str, shape: Sequence[int], continuous: Likelihood, statistics: Statistics | None) -> _Group:
    levels = _num_levels(name, shape)
    mean, deviation = _statistics_of(name, shape, levels, statistics)
    if levels is not None:
        one_hot = lambda x: jax.nn.one_hot(x, levels)
        return _Group(shape[0] * (levels + 1), one_hot, _levels_likelihood(name.split("_")[0], levels, mean))
    inputs, likelihood = {
        "continuous": lambda: (_standardized(mean, deviation), _bounded(continuous, continuous.initial_outputs(mean))),
        "positive": lambda: (_standardized(mean, deviation, _log), _positive(mean, deviation)),
        "count": lambda: (_standardized(*_log_moments(mean, deviation), jnp.log1p), _counts(mean, deviation)),
        "binary": lambda: (
            _standardized(mean, deviation),
            _shifted(likelihoods.bernoulli, likelihoods.bernoulli.initial_outputs(mean)),
        ),
    }[name]()
    return _Group(2 * shape[0], inputs, likelihood)


def _standardized(
    mean: jax.Array, deviation: jax.Array, transform: Callable[[jax.Array], jax.Array] = lambda x: x
) -> Callable[[jax.Array], jax.Array]:
    return lambda x: (transform(x.astype(jnp.float32)) - mean) / deviation


def _log(x: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(x, 1e-30))  # finite at the zeros in missing cells, which are masked afterwards


def _num_levels(name: str, shape: Any) -> int | None:
    """Number K of levels of a group of categories or ordinals, None for other groups; checks name and shape."""
    match = _GROUP.fullmatch(name)
    if match is None:
        raise ValueError(
            f"shapes must have groups continuous, positive, count, binary, category_K and ordinal_K, got {name!r}"
        )
    if len(shape) != 1:
        raise ValueError(f"shapes[{name!r}] must be (n,), the number of its columns, got {tuple(shape)}")
    check_count(f"shapes[{name!r}][0]", shape[0], most=LARGEST_SIZE)
    if match[1] is None:
        return None
    check_count(f"the number of levels in {name!r}", int(match[1]), 2, LARGEST_SIZE)
    return int(match[1])


def _statistics_of(
    name: str, shape: Sequence[int], levels: int | None, statistics: Statistics | None
) -> tuple[jax.Array, jax.Array]:
    wanted = tuple(shape) if levels is None else (*shape, levels)
    if statistics is None:
        mean = {"count": 1.0, "binary": 0.5}.get(name, 0.0) if levels is None else 1.0 / levels
        return jnp.full(wanted, mean, jnp.float32), jnp.ones(wanted, jnp.float32)
    if name not in statistics:
        raise ValueError(f"statistics must have every group of shapes, {name!r} is missing")
    given_mean, given_deviation = (jnp.asarray(array, jnp.float32) for array in statistics[name])
    if not given_mean.shape == given_deviation.shape == wanted:
        raise ValueError(
            f"statistics[{name!r}] must be two arrays of shape {wanted}, got {given_mean.shape} and "
            f"{given_deviation.shape}"
        )
    return given_mean, given_deviation


def _shifted(likelihood: Likelihood, offset: jax.Array, factor: ArrayLike = 1.0) -> Likelihood:
    """The likelihood at outputs offset + factor * outputs: outputs of 0 give the column's own distribution."""
    return likelihood._replace(distribution=lambda outputs: likelihood.distribution(offset + factor * outputs))


def _bounded(likelihood: Likelihood, offset: jax.Array, factor: ArrayLike = 1.0) -> Likelihood:
    """Shifts a likelihood as `_shifted`; its second output, a log-variance or log-dispersion, gets a lower bound."""
    shifted = _shifted(likelihood, offset, factor)
    bound = lambda log_variance: _LEAST_LOG_VARIANCE + jax.nn.softplus(log_variance - _LEAST_LOG_VARIANCE)
    bounded = lambda outputs: outputs.at[..., 1:2].set(bound(outputs[..., 1:2]))
    return shifted._replace(distribution=lambda outputs: shifted.distribution(bounded(outputs)))


def _positive(mean: jax.Array, deviation: jax.Array) -> Likelihood:
    """LogNormal of the standardized logarithms: the decoder's outputs are their mean and log-variance."""
    offset = jnp.stack([mean, 2.0 * jnp.log(deviation)], axis=-1)
    return _bounded(column_likelihoods.log_normal, offset, jnp.stack([deviation, jnp.ones_like(deviation)], axis=-1))


def _counts(mean: jax.Array, deviation: jax.Array) -> Likelihood:
    """NegativeBinomial whose mean and variance at outputs of 0 are those of the training rows."""
    mean, (_, scale) = jnp.maximum(mean, _LEAST_SHARE), _log_moments(mean, deviation)
    dispersion = mean**2 / jnp.maximum(deviation**2 - mean, _LEAST_SHARE)
    offset = jnp.stack([jnp.log(mean), jnp.log(jnp.clip(dispersion, 0.01, 100.0))], axis=-1)
    return _bounded(column_likelihoods.negative_binomial, offset, jnp.stack([scale, jnp.ones_like(scale)], axis=-1))


def _log_moments(mean: jax.Array, deviation: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation of log(1 + x), if 1 + x with the given ones has a log-normal distribution."""
    variance = jnp.log1p((deviation / (1.0 + mean)) ** 2)
    return jnp.log1p(mean) - 0.5 * variance, jnp.sqrt(variance)


def _levels_likelihood(kind: str, levels: int, shares: jax.Array) -> Likelihood:
    shares = (shares + _LEAST_SHARE) / (1.0 + levels * _LEAST_SHARE)
    if kind == "category":
        return _shifted(column_likelihoods.categorical(levels), jnp.log(shares))
    # P(x <= k) = sigmoid(cut_k - location); the first cut is at 0, the others are sums of softplus(output).
    cuts = jax.scipy.special.logit(jnp.cumsum(shares, axis=-1)[..., :-1])
    increments = jnp.log(jnp.expm1(jnp.diff(cuts, axis=-1)))
    return _shifted(column_likelihoods.ordinal(levels), jnp.concatenate([-cuts[..., :1], increments], axis=-1))
