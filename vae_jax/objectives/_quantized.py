"""The objective of models with discrete codes: the distortion, and the codebook and commitment losses."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import kl_divergence
from vae_jax.models._codes import QuantizedPosterior
from vae_jax.models._model import VAE, Model, num_examples
from vae_jax.objectives._batch import Aux, keys_of_examples, map_over_batch
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics
from vae_jax.params import Params


def vq_vae_loss(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
    """-log p(x | z) + the quantizers' losses, in nats per example; and the codebooks after the batch.

    It needs its batch as a whole: no microbatches.

    log p(z) of the codes is no part of the loss: their prior is trained afterwards, on codes that move no more. It is
    in the metrics: `elbo` is log p(x | z) + log p(z), with the prior that the model has. A quantizer's loss is summed
    over the places and components of one example, as the distortion is over its pixels, so that neither changes with
    the batch's size. Every example is quantized with the codebooks from before the batch; moving averages and revival
    are over all of it.

    Metrics: the loss's parts `distortion` and `quantization_loss`; `rate` (-log p(z)) and `elbo`; and
    `batch_perplexity`, a mean over the codebooks: how many codes a batch uses, which is no more than it has vectors,
    and less than a test set uses (`evaluation.measure_vq_vae`).

    Raises:
      TypeError: if the model's posterior is not of codes, or for a batch of uint8 pixels.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), eq. 3.
    """
    keys = keys_of_examples(key, num_examples("batch", batch))
    update_key = jax.random.fold_in(keys[0], 1)  # another than any example's

    def example(vae: VAE, key: jax.Array, x: Any) -> tuple[QuantizedPosterior, ElboTerms]:
        posterior = vae.encode(params, x)
        if not isinstance(posterior, QuantizedPosterior):
            raise TypeError(
                f"objectives.vq_vae_loss needs a model whose encode returns codes, such as models.vq_vae, got a "
                f"{type(posterior).__name__}; negative_elbo is for others"
            )
        log_likelihood = vae.decode(params, posterior.sample(key)).log_prob(x)
        return posterior, ElboTerms(log_likelihood, kl_divergence(posterior, vae.prior(params)))

    posteriors, terms = map_over_batch(example, model, keys, batch)
    quantization_loss = jnp.mean(posteriors.loss) + posteriors.batch_loss(params)
    metrics = jax.tree.map(jnp.mean, elbo_metrics(terms)) | {
        "quantization_loss": quantization_loss,
        "batch_perplexity": posteriors.batch_perplexity(),
    }
    buffers = jax.lax.stop_gradient(posteriors.batch_update(params, update_key))
    return metrics["distortion"] + quantization_loss, Aux(metrics, buffers)
