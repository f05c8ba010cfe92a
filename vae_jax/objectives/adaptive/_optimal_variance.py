"""Sigma-VAE: a Normal likelihood with the variance that is optimal for each batch, in closed form."""

from __future__ import annotations

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE, Model
from vae_jax.models.additions._with_buffers import OPTIMAL_VARIANCE, mean_of_whole
from vae_jax.objectives._batch import Aux, Objective, map_over_batch
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics, encoded
from vae_jax.objectives.adaptive._buffers import buffer_of, moving_average, with_buffer
from vae_jax.params import Params

LOG_2PI = math.log(2.0 * math.pi)


def batch_optimal_variance(xs: ArrayLike, means: ArrayLike) -> jax.Array:
    """Variance s^2 = mean of (x - mean)^2 over all entries of a batch, which maximizes sum log N(x; mean, s^2).

    Args:
      xs: `[B, ...]`.
      means: the same shape.

    Returns:
      A scalar, at least 0.

    Source: Rybkin et al. 2021 (arXiv:2006.13202), eq. 8.
    """
    xs, means = jnp.asarray(xs), jnp.asarray(means)
    chex.assert_equal_shape([xs, means])
    return jnp.mean(jnp.square(xs - means))


def optimal_variance_loss(decay: float = 0.99, least_variance: float = 1e-6) -> Objective:
    """The objective -ELBO at the variance of p(x | z) that is optimal for the batch, in nats per example.

    With s^2 = `batch_optimal_variance` of the batch and D numbers in an example, the distortion of the loss is
    D / 2 (log(2 pi s^2) + 1). Rate and distortion are in balance at any scale of the data, without a beta.

    It needs its batch as a whole: no microbatches. The expected loss also depends on the size of the batch, since the
    variance is fitted to it. `elbo`, `rate` and `distortion` of the metrics are those of the model itself, whose
    variance is a moving average of the variances of the batches, kept in the buffers; `optimal_variance` is that of the
    batch.

    Args:
      decay: of the moving average, from 0 to 1; of fewer batches than 1 / (1 - decay) it is the mean.
      least_variance: above 0; a smaller s^2 is replaced by it in the loss and in the average. The default is the
        square of 1 / 4 of a level of 8-bit pixels in [0, 1].

    Raises:
      ValueError: if an argument is out of range; by the objective, if the model lacks the buffers that
        `models.with_optimal_variance` adds.
      TypeError: by the objective, if entries of the examples may be missing.
      UndefinedError: by the objective, if the KL divergence has no closed form.

    Source: Rybkin et al. 2021 (arXiv:2006.13202), section 3.
    """
    check_number("decay", decay, 0, 1)
    check_number("least_variance", least_variance, 0, above=True)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        kept = buffer_of(params, OPTIMAL_VARIANCE, "objectives.optimal_variance_loss", "models.with_optimal_variance")

        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[ElboTerms, jax.Array, jax.Array]:
            _, z, terms = encoded(vae, params, key, x)
            return terms, x, mean_of_whole(vae.decode(params, z))

        terms, xs, means = map_over_batch(example, model, key, batch)
        optimal = batch_optimal_variance(xs, means)
        variance = jnp.maximum(optimal, least_variance)
        size = math.prod(means.shape[1:])
        # Below the least variance the first term still trains the means.
        distortion = 0.5 * size * (optimal / variance + jnp.log(variance) + LOG_2PI)
        metrics = jax.tree.map(jnp.mean, elbo_metrics(terms)) | {"optimal_variance": variance}
        average = moving_average(kept["variance"], kept["updates"], variance, decay)
        buffers = with_buffer(params, OPTIMAL_VARIANCE, {"variance": average, "updates": kept["updates"] + 1.0})
        return distortion + metrics["rate"], Aux(metrics, buffers)

    return objective
