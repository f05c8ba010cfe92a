"""K-means clustering, to initialize a codebook from the encoder's vectors."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from vae_jax.quantizers._nearest import nearest_code

_MOST_POINTS = 256  # points per cluster, as in Faiss (Douze et al. 2024, arXiv:2401.08281)


class Clusters(NamedTuple):
    """Result of k-means."""

    centers: jax.Array  # [K, D]
    counts: jax.Array  # [K], number of points in each cluster


@partial(jax.jit, static_argnums=(2, 3))
def k_means(key: jax.Array, points: jax.Array, num_clusters: int, iterations: int = 10) -> Clusters:
    """Lloyd's algorithm from random points: assigns points to the nearest center, moves centers to the mean, repeats.

    At most 256 points per cluster are used, drawn at random: enough for the means, and the memory for the N x K
    distances is bounded. A cluster without points restarts at a random point. With fewer points than clusters, or with
    equal points, several centers coincide, which is no error; every number is finite.

    Args:
      key: PRNG key, consumed.
      points: `[N, D]`, N at least 1.
      num_clusters: K.
      iterations: number of iterations.

    Source: Lloyd 1982 [lloyd1982least], as in Lancucki et al. 2020 (arXiv:2005.08520),
    section 3.2, for codebooks.
    """
    chex.assert_rank(points, 2)
    points = points.astype(jnp.float32)
    start_key, *keys = jax.random.split(key, iterations + 1)
    points = points[jax.random.permutation(start_key, points.shape[0])[: _MOST_POINTS * num_clusters]]
    # The points are in random order: this draws without replacement if there are enough points.
    first = jnp.arange(num_clusters) % points.shape[0]

    def sums(centers: jax.Array) -> tuple[jax.Array, jax.Array]:
        nearest = jax.vmap(nearest_code, (0, None))(points, centers)
        return jnp.zeros_like(centers).at[nearest].add(points), jnp.zeros(num_clusters).at[nearest].add(1.0)

    def iterate(centers: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        total, counts = sums(centers)
        restarts = points[jax.random.randint(key, (num_clusters,), 0, points.shape[0])]
        return jnp.where(counts[:, None] > 0, total / jnp.maximum(counts, 1.0)[:, None], restarts), None

    centers, _ = jax.lax.scan(iterate, points[first], jnp.stack(keys))
    return Clusters(centers, sums(centers)[1])
