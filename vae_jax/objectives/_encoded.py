"""A batch's posteriors, codes and ELBO terms, for objectives of a statistic of the batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from vae_jax.distributions import Distribution, Normal, kl_divergence
from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Aux, Metrics
from vae_jax.objectives._elbo import ElboTerms
from vae_jax.params import Params, split_buffers


class Encoded(NamedTuple):
    """Of one example; of a batch each array has a leading axis `[B]`."""

    posterior: Distribution
    z: Any
    terms: ElboTerms

    def aux(self, params: Params, metrics: Metrics) -> Aux:
        """The metrics, and the model's buffers as they are."""
        return Aux(metrics, split_buffers(params)[1])


def encoded_example(model: VAE, params: Params, key: jax.Array, x: jax.Array) -> Encoded:
    """The posterior, one z drawn from it, log p(x | z) at that z, and the KL divergence in closed form.

    Raises:
      UndefinedError: where the KL divergence has no closed form.
    """
    posterior = model.encode(params, x)
    z = posterior.sample(key)
    terms = ElboTerms(model.decode(params, z).log_prob(x), kl_divergence(posterior, model.prior(params)))
    return Encoded(posterior, z, terms)


def require_diagonal_normal(name: str, posterior: Distribution) -> Normal:
    """The posterior; raises TypeError where it is no diagonal Normal over a vector, `[B, D]` for a batch."""
    if not isinstance(posterior, Normal) or posterior.mean.ndim != 2:
        raise TypeError(
            f"{name} needs a model whose encode returns a Normal over a vector z, such as gaussian_vae, got "
            f"{type(posterior).__name__}"
        )
    return posterior
