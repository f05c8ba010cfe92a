"""Objective of models with discrete codes: the distortion, and the codebook and commitment losses."""

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
    """-log p(x | z) + the quantizers' losses, in nats per example, and the updated codebooks.

    It needs its batch as a whole: no microbatches.

    log p(z) of the codes is not part of the loss, because the prior over codes is trained afterwards, when the codes no
    longer change. It is part of the metrics: `elbo` is log p(x | z) + log p(z), with the model's present prior. A
    quantizer's loss is summed over the positions and components of one example, as the distortion is over its pixels;
    neither changes with the batch size. Every example is quantized with the codebooks from before the batch; moving
    averages and revival use the whole batch.

    Metrics: the terms of the loss, `distortion` and `quantization_loss`; `rate` (-log p(z)) and `elbo`; and
    `batch_perplexity`, the effective number of codes that a batch uses, a mean over the codebooks. It is at most the
    number of vectors in the batch, and below the perplexity of a whole test set (`evaluation.measure_vq_vae`).

    Raises:
      TypeError: if the model's posterior is not over codes, or for a batch of uint8 pixels.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), eq. 3.
    """
    keys = keys_of_examples(key, num_examples("batch", batch))
    update_key = jax.random.fold_in(keys[0], 1)  # differs from the key of every example

    def example(vae: VAE, key: jax.Array, x: Any) -> tuple[QuantizedPosterior, ElboTerms]:
        posterior = vae.encode(params, x)
        if not isinstance(posterior, QuantizedPosterior):
            raise TypeError(
                f"objectives.vq_vae_loss needs a model whose encode returns codes, such as models.vq_vae, got a "
                f"{type(posterior).__name__}; use objectives.negative_elbo for models with other posteriors"
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
