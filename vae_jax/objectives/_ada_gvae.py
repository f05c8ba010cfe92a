"""Ada-GVAE: pairs of examples that share most factors, and so most of their posteriors."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Normal, kl_divergence
from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._beta import beta_loss_from_terms
from vae_jax.objectives._checks import check_between
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics
from vae_jax.params import Params


def share_posteriors(first: Normal, second: Normal) -> tuple[Normal, Normal]:
    """Both posteriors with the dimensions in which they are close replaced by one of mean mean and mean variance.

    Close is a KL(first_d || second_d) below the middle between the smallest and the largest over the dimensions.

    Args:
      first: Normal over `[D]`.
      second: the same.
    """
    chex.assert_rank([first.mean, second.mean], 1)
    # By dimension: each a Normal over a scalar.
    kl = jax.vmap(kl_divergence)(first, second)
    shared = kl < 0.5 * (jnp.min(kl) + jnp.max(kl))
    mean = 0.5 * (first.mean + second.mean)
    log_variance = jnp.logaddexp(first.log_variance, second.log_variance) - jnp.log(2.0)

    def merged(own: Normal) -> Normal:
        return Normal(jnp.where(shared, mean, own.mean), jnp.where(shared, log_variance, own.log_variance))

    return merged(first), merged(second)


def ada_gvae_loss(beta: ArrayLike = 1.0) -> Objective:
    """The objective distortion + beta rate of pairs whose posteriors are shared, a mean over pairs in nats per image.

    The batch is `[B, 2, ...]`: pairs that differ in a few unknown factors. Each image is decoded from its posterior
    after `share_posteriors`. Metrics: `elbo`, `rate`, `distortion` with those posteriors, means over the two: a bound
    on each image's log p(x), looser than that with its own posterior.

    Args:
      beta: weight of the rate, at least 0; 1 in the paper.

    Raises:
      ValueError: where beta is below 0; by the objective, where the batch is not of pairs.
      TypeError: by the objective, where the posterior is no diagonal Normal over a vector.

    Source: Locatello et al. 2020 (arXiv:2002.02886), section 4, with the averages of the GVAE (Hosoya 2019,
    arXiv:1809.02383).
    """
    check_between("beta", beta, 0)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: jax.Array) -> tuple[jax.Array, Metrics]:
        if x.shape[:1] != (2,):
            raise ValueError(f"batch must be pairs of examples, [B, 2, ...], got [B, {', '.join(map(str, x.shape))}]")
        first, second = (model.encode(params, image) for image in x)
        if not (isinstance(first, Normal) and isinstance(second, Normal) and first.mean.ndim == 1):
            raise TypeError(
                "objectives.ada_gvae_loss needs a model whose encode returns a Normal over a vector z, such as "
                f"gaussian_vae, got {type(first).__name__}"
            )
        prior = model.prior(params)

        def terms_of(key: jax.Array, image: jax.Array, posterior: Normal) -> ElboTerms:
            log_likelihood = model.decode(params, posterior.sample(key)).log_prob(image)
            return ElboTerms(log_likelihood, kl_divergence(posterior, prior))

        both = share_posteriors(first, second)
        pairs = [terms_of(k, image, q) for k, image, q in zip(jax.random.split(key), x, both, strict=True)]
        terms = ElboTerms(*(0.5 * (a + b) for a, b in zip(*pairs, strict=True)))
        return beta_loss_from_terms(*terms, beta), elbo_metrics(terms)

    return mean_over_batch(example_objective)
