"""Centers of clusters, to start a codebook where the encoder's vectors are."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from vae_jax.quantizers._nearest import nearest_code

_MOST_POINTS = 256  # a cluster, as in Faiss (Douze et al. 2024, arXiv:2401.08281)


class Clusters(NamedTuple):
    """What k-means found."""

    centers: jax.Array  # [K, D]
    counts: jax.Array  # [K], the points of each


@partial(jax.jit, static_argnums=(2, 3))
def k_means(key: jax.Array, points: jax.Array, num_clusters: int, iterations: int = 10) -> Clusters:
    """Lloyd's algorithm from points drawn at random: assign to the nearest center, move to the mean, again.

    Of more than 256 points a cluster, so many are drawn at random: enough for means, and the memory of N x K distances
    stays bounded. A cluster with no points starts again at a point drawn at random. Fewer points than clusters, or
    equal ones, leave several centers at the same place, which is no error; every number stays finite.

    Args:
      key: of the draws.
      points: `[N, D]`, N at least 1.
      num_clusters: K.
      iterations: of both steps.

    Source: Lloyd 1982 [lloyd1982least], as in Lancucki et al. 2020 (arXiv:2005.08520),
    section 3.2, for codebooks.
    """
    chex.assert_rank(points, 2)
    points = points.astype(jnp.float32)
    start_key, *keys = jax.random.split(key, iterations + 1)
    points = points[jax.random.permutation(start_key, points.shape[0])[: _MOST_POINTS * num_clusters]]
    # Without replacement where there are enough points.
    first = jnp.arange(num_clusters) % points.shape[0]

    def sums(centers: jax.Array) -> tuple[jax.Array, jax.Array]:
        nearest = jax.vmap(nearest_code, (0, None))(points, centers)
        return jnp.zeros_like(centers).at[nearest].add(points), jnp.zeros(num_clusters).at[nearest].add(1.0)

    def iterate(centers: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        total, counts = sums(centers)
        elsewhere = points[jax.random.randint(key, (num_clusters,), 0, points.shape[0])]
        return jnp.where(counts[:, None] > 0, total / jnp.maximum(counts, 1.0)[:, None], elsewhere), None

    centers, _ = jax.lax.scan(iterate, points[first], jnp.stack(keys))
    return Clusters(centers, sums(centers)[1])
