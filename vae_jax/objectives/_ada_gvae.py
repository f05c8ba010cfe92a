"""Ada-GVAE: pairs of examples that share most factors of variation, and therefore most of their posteriors."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution, UndefinedError, kl_divergence, kl_per_dimension
from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE, path_of
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._beta_vae import beta_loss_from_terms
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics
from vae_jax.objectives._require import requiring
from vae_jax.params import Params


def share_posteriors(first: Distribution, second: Distribution) -> tuple[Distribution, Distribution]:
    """Returns both posteriors, with averaged means and variances in the dimensions in which they are close.

    Dimension d is close if KL(first_d || second_d) is below the midpoint between the smallest and the largest KL
    divergence of all dimensions.

    Args:
      first: a posterior over `[D]`, with `kl_per_dimension` and `averaged`, such as a Normal; all its arrays are `[D]`.
      second: the other posterior, of the same type.

    Raises:
      UndefinedError: if the posteriors have no KL divergence per dimension, or no average.
    """
    kl = kl_per_dimension(first, second)
    chex.assert_rank(kl, 1)
    if not hasattr(first, "averaged"):
        raise UndefinedError(f"a {type(first).__name__} has no average with another distribution")
    shared, average = kl < 0.5 * (jnp.min(kl) + jnp.max(kl)), first.averaged(second)
    merged = lambda own: jax.tree.map(lambda common, alone: jnp.where(shared, common, alone), average, own)
    return merged(first), merged(second)


def ada_gvae_loss(beta: ArrayLike = 1.0) -> Objective:
    """The objective distortion + beta rate of pairs that share parts of their posteriors, in nats per image.

    It is a mean over the batch, which is `[B, 2, ...]`: pairs that differ in a few unknown factors. Each image is
    decoded from its posterior after `share_posteriors`. The metrics `elbo`, `rate` and `distortion` use these
    posteriors and are means over the pair: `elbo` bounds log p(x), less tightly than with each image's own posterior.

    Args:
      beta: weight of the rate, at least 0; 1 in the paper.

    Raises:
      ValueError: if beta is below 0; by the objective, if the batch does not consist of pairs.
      UndefinedError: by the objective, for posteriors that `share_posteriors` refuses.

    Source: Locatello et al. 2020 (arXiv:2002.02886), section 4, with the averages of the GVAE (Hosoya 2019,
    arXiv:1809.02383).
    """
    check_number("beta", beta, 0)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
        for path, leaf in jax.tree.leaves_with_path(x):
            if leaf.shape[:1] != (2,):
                shape = ", ".join(map(str, ("B", *leaf.shape)))
                raise ValueError(f"batch{path_of(path)} must be pairs of examples, [B, 2, ...], got [{shape}]")
        images = [jax.tree.map(lambda leaf, i=i: leaf[i], x) for i in range(2)]
        first, second = (model.encode(params, image) for image in images)
        prior = model.prior(params)

        def terms_of(key: jax.Array, image: Any, posterior: Distribution) -> ElboTerms:
            log_likelihood = model.decode(params, posterior.sample(key)).log_prob(image)
            return ElboTerms(log_likelihood, kl_divergence(posterior, prior))

        with requiring("objectives.ada_gvae_loss needs a model whose encode returns a Normal, such as gaussian_vae"):
            both = share_posteriors(first, second)
        pairs = [terms_of(k, image, q) for k, image, q in zip(jax.random.split(key), images, both, strict=True)]
        terms = ElboTerms(*(0.5 * (a + b) for a, b in zip(*pairs, strict=True)))
        return beta_loss_from_terms(*terms, beta), elbo_metrics(terms)

    return mean_over_batch(example_objective)
