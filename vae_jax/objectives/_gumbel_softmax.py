"""Objective for categorical codes: relaxed draws at a temperature that may follow a schedule."""

from __future__ import annotations

from typing import Any

import jax

from vae_jax.distributions import UndefinedError, kl_divergence
from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics
from vae_jax.params import Params


def gumbel_softmax_loss(temperature: float | jax.Array = 1.0) -> Objective:
    """-log p(x | z) + KL(q(z | x) || p(z)) at a relaxed z, `gumbel_softmax` of the posterior's logits.

    It is a mean over the batch in nats per example. In training the decoder is given points inside the simplex, in
    evaluation one-hot codes: the metrics `elbo`, `rate` and `distortion` describe the relaxed model, while evaluation
    draws from the posterior itself. Both use the KL divergence of the categories, in closed form. A temperature that
    follows the step is `scheduled(gumbel_softmax_loss, linear(steps, 1.0, 0.5))`.

    Args:
      temperature: at least 0.001; usually it falls from 1.0 to 0.5.

    Raises:
      ValueError: if temperature is below 0.001.
      UndefinedError: by the objective, if the posterior has no `relaxed_sample`; a OneHotCategorical has one.

    Source: Jang et al. 2017 (arXiv:1611.01144), section 3 and appendix.
    """
    check_number("temperature", temperature, 1e-3)

    def example(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
        posterior = model.encode(params, x)
        if not hasattr(posterior, "relaxed_sample"):
            raise UndefinedError(
                "objectives.gumbel_softmax_loss needs a model whose encode returns a OneHotCategorical, such as "
                f"models.categorical_vae, got a {type(posterior).__name__}"
            )
        z = posterior.relaxed_sample(key, temperature)
        log_likelihood = model.decode(params, z).log_prob(x)
        metrics = elbo_metrics(ElboTerms(log_likelihood, kl_divergence(posterior, model.prior(params))))
        return -metrics["elbo"], metrics

    return mean_over_batch(example)
