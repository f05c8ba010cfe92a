"""The ELBO and the distortion of a whole data set, with several samples of z an example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.evaluation._examples import jitted, over_examples, with_prior_at, with_prior_computed
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models._model import VAE, Model
from vae_jax.params import Params

_DRAWS_AT_ONCE = 50  # of an example
# (vae, params, key, x) -> pytree of scalars, by one sample of z: elbo_terms, sampled_elbo_terms, distortion
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
    """`estimate` of every example, a mean over num_samples independent draws of z: one jitted program, chunked in both.

    Args:
      estimate: what to average: `elbo_terms`, `sampled_elbo_terms` or `distortion` of `vae_jax.objectives`.
      model: the model.
      params: its parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples as the model sees them; `Example(xs, contexts)` for a `Conditional`.
      num_samples: draws of z an example, at least 1.
      batch_size: examples held at once.

    Returns:
      What `estimate` returns, each leaf `[N]` values in nats.

    Raises:
      ValueError: if num_samples is below 1.
    """
    require_at_least_one(num_samples=num_samples)

    def example(vae: VAE, params: Params, key: jax.Array, x: Any) -> Any:
        keys = jax.random.split(key, num_samples)
        own = with_prior_at(vae, params, vae.prior(params))  # once for all draws
        one = lambda k: estimate(own, params, k, x)
        draws = jax.lax.map(one, keys, batch_size=min(num_samples, _DRAWS_AT_ONCE))
        return jax.tree.map(jnp.mean, draws)

    model = with_prior_computed(model, params, xs)
    return over_examples(example, model, params, key, xs, batch_size)
