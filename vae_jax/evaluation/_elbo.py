"""ELBO and distortion of a whole data set, with several samples of z per example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.evaluation._examples import jitted, over_examples, with_prior_at, with_prior_computed
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models._model import VAE, Model
from vae_jax.params import Params

_DRAWS_AT_ONCE = 50  # draws of z per example
# (vae, params, key, x) -> pytree of scalars, from one sample of z: elbo_terms, sampled_elbo_terms, distortion
OneSampleEstimate = Callable[[VAE, Params, jax.Array, Any], Any]


@jitted("estimate", "model", "num_samples", "batch_size")
def mean_over_samples(
    estimate: OneSampleEstimate,
    model: Model,
    params: Params,
    key: jax.Array,
    xs: Any,
    num_samples: int = 1,
    batch_size: int = 100,
) -> Any:
    """Averages `estimate` over num_samples independent draws of z, for every example, in one jitted program.

    Args:
      estimate: the estimate to average: `elbo_terms`, `sampled_elbo_terms` or `distortion` of `vae_jax.objectives`.
      model: the model.
      params: the model's parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
      num_samples: number of draws of z per example, at least 1.
      batch_size: number of examples computed at once.

    Returns:
      The structure that `estimate` returns, each leaf `[N]` values in nats.

    Raises:
      ValueError: if num_samples is below 1.
    """
    require_at_least_one(num_samples=num_samples)

    def example(vae: VAE, params: Params, key: jax.Array, x: Any) -> Any:
        keys = jax.random.split(key, num_samples)
        with_prior = with_prior_at(vae, params, vae.prior(params))  # computed once for all draws
        one = lambda k: estimate(with_prior, params, k, x)
        draws = jax.lax.map(one, keys, batch_size=min(num_samples, _DRAWS_AT_ONCE))
        return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), draws)

    model = with_prior_computed(model, params, xs)
    return over_examples(example, model, params, key, xs, batch_size)
