"""Free bits: a minimum rate per group of dimensions that is not penalized, so that training does not collapse them."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from vae_jax.distributions import kl_per_dimension
from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE, Model
from vae_jax.objectives._batch import Aux, Objective, map_over_batch, unchanged
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics, log_likelihood_of
from vae_jax.objectives._require import requiring
from vae_jax.params import Params


def batch_free_bits_rate(kl: ArrayLike, nats: ArrayLike) -> jax.Array:
    """Penalized rate sum_j max(lambda, 1/B sum_b KL_bj).

    The maximum is taken of a group's mean over the batch, not of each example: an example may use less than lambda of
    a group if others use more.

    Args:
      kl: `[B, G]`, KL divergence of each example and group, in nats.
      nats: lambda, the free nats of each group.

    Returns:
      A scalar in nats, at least G lambda.

    Source: Kingma et al. 2016 (arXiv:1606.04934), eq. 15.
    """
    kl, nats = jnp.asarray(kl), jnp.asarray(nats)
    chex.assert_rank([kl, nats], [2, 0])
    return jnp.sum(jnp.maximum(nats, jnp.mean(kl, axis=0)))


def free_bits_loss(nats: ArrayLike, groups: ArrayLike | None = None, *, beta: ArrayLike = 1.0) -> Objective:
    """The objective distortion + beta `batch_free_bits_rate`, with lambda nats free in every group of z's dimensions.

    The loss is in nats per example. It needs its batch as a whole: no microbatches. A group's rate below lambda has no
    gradient.

    Args:
      nats: lambda, at least 0; a number, or an array if it is traced. 0 is the ELBO.
      groups: group numbers from 0, integers in the shape of z; None: each dimension is its own group. The groups of
        the paper, the channels of a feature map `[H, W, C]`, are `np.broadcast_to(np.arange(C), (H, W, C))`.
      beta: weight of the penalized rate, at least 0; a number, or an array if it is traced. The KL warm-up is
        `scheduled(lambda beta: free_bits_loss(0.1, beta=beta), linear(10_000))`.

    Raises:
      ValueError: if nats or beta is a number below 0, or the groups are not numbered 0 ... G - 1; by the objective, if
        groups do not have the shape of z.
      UndefinedError: by the objective, if the KL divergence of each dimension has no closed form.

    Source: Kingma et al. 2016 (arXiv:1606.04934), eq. 15.
    """
    check_number("nats", nats, 0)
    check_number("beta", beta, 0)
    if groups is not None:
        numbers = np.unique(groups := np.asarray(groups))
        if not np.array_equal(numbers, np.arange(numbers.size)):
            raise ValueError(f"groups must be numbered 0, 1, ... without a gap, got the numbers {numbers.tolist()}")

    def by_group(kl: Any) -> jax.Array:
        if groups is None:
            return ravel_pytree(kl)[0]
        if kl.shape != jnp.shape(groups):
            raise ValueError(f"groups must have the shape of z, {kl.shape}, got {jnp.shape(groups)}")
        return jax.ops.segment_sum(kl.ravel(), jnp.ravel(groups), numbers.size)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        def example(vae: VAE, key: jax.Array, x: Any) -> ElboTerms:
            posterior, prior = vae.encode(params, x), vae.prior(params)
            log_likelihood = log_likelihood_of(vae.decode(params, posterior.sample(key)), x)
            chex.assert_rank(log_likelihood, 0)  # it must be summed over the event
            what = "model: free bits need the KL divergence of each dimension"
            with requiring(what, "objectives.sampled_beta_vae_loss does not"):
                return ElboTerms(log_likelihood, by_group(kl_per_dimension(posterior, prior)))

        log_likelihood, kl = map_over_batch(example, model, key, batch)  # [B], [B, G]
        distortion, rate = -jnp.mean(log_likelihood), jnp.mean(jnp.sum(kl, axis=1))
        metrics = elbo_metrics(ElboTerms(-distortion, rate))
        return distortion + jnp.asarray(beta) * batch_free_bits_rate(kl, nats), unchanged(params, metrics)

    return objective
