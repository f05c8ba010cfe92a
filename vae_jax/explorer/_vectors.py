"""Latent spaces of real vectors, for the explorer's page."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Distribution, UndefinedError, mean_of, standard_deviation_of
from vae_jax.evaluation import kl_per_dimension, over_examples, posterior_means
from vae_jax.explorer._encoding import packed_array
from vae_jax.models import VAE, Example
from vae_jax.models._model import Model, common_prior
from vae_jax.params import Params

ACTIVE_NATS = 0.01  # a dimension with a smaller KL divergence is unused
ACTIVE_SHARE = 0.01  # without a KL divergence: one whose means have less than this share of the prior's variance
NUM_DRAWS = 128  # samples of a prior other than a diagonal Normal
_DRAWS_FOR_MOMENTS = 4096


class VectorSpace(NamedTuple):
    """Latent space R^D, with the posteriors of the images and the prior."""

    means: np.ndarray  # float32 [n, D], means of q(z | x) of the images
    standard_deviations: np.ndarray | None  # float32 [n, D]; None if q(z | x) has none (a point)
    kl: np.ndarray | None  # float32 [D] in nats, a mean over the images; None if it is not defined
    active: np.ndarray  # bool [D]
    prior: str  # name of the prior's distribution
    prior_mean: np.ndarray  # float32 [D]
    prior_standard_deviation: np.ndarray  # float32 [D]
    draws: np.ndarray | None  # float32 [128, D]; None if the prior is the diagonal Normal of the two above

    def as_json(self) -> dict[str, Any]:
        packed = lambda array: None if array is None else packed_array(array)
        return {
            "kind": "vector",
            "dimension": self.means.shape[1],
            "means": packed_array(self.means),
            "standardDeviations": packed(self.standard_deviations),
            "kl": None if self.kl is None else self.kl.tolist(),
            "active": self.active.tolist(),
            "prior": {
                "name": self.prior,
                "mean": self.prior_mean.tolist(),
                "standardDeviation": self.prior_standard_deviation.tolist(),
                "draws": packed(self.draws),
            },
        }


def vector_space(
    model: Model, params: Params, xs: jax.Array, key: jax.Array, contexts: jax.Array | None = None
) -> VectorSpace:
    """Latent space of a model whose z is a vector.

    Args:
      model: The model.
      params: Its parameters.
      xs: `[n, H, W, C]` preprocessed images.
      key: PRNG key, consumed; not used if the prior is a diagonal Normal.
      contexts: `[n]`, contexts of the images, for a `Conditional` whose prior does not depend on them; None for a VAE.

    Raises:
      ValueError: If the prior depends on the context.
    """
    examples = xs if contexts is None else Example(xs, contexts)
    means = _float32(posterior_means(model, params, examples))
    try:
        deviations = _float32(over_examples(_deviation, model, params, jax.random.key(0), examples, 100))
    except UndefinedError:
        deviations = None
    try:
        kl = _float32(kl_per_dimension(model, params, examples))
    except UndefinedError:
        kl = None
    prior = jax.jit(partial(common_prior, model))(params, contexts)
    if prior is None:
        raise ValueError("model must have a prior that is the same for all labels to be explored, got one that differs")
    if _is_diagonal_normal(prior):
        mean, deviation, draws = mean_of(prior), standard_deviation_of(prior), None
    else:
        samples = jax.jit(jax.vmap(prior.sample))(jax.random.split(key, _DRAWS_FOR_MOMENTS))
        mean, deviation, draws = jnp.mean(samples, axis=0), jnp.std(samples, axis=0), _float32(samples[:NUM_DRAWS])
    # Without a KL divergence, a dimension counts as used if its means vary relative to the prior, whatever z's units.
    active = np.var(means, axis=0) > ACTIVE_SHARE * _float32(deviation) ** 2 if kl is None else kl > ACTIVE_NATS
    name = type(prior).__name__
    return VectorSpace(means, deviations, kl, active, name, _float32(mean), _float32(deviation), draws)


def _deviation(vae: VAE, params: Params, key: jax.Array, x: jax.Array) -> jax.Array:
    return standard_deviation_of(vae.encode(params, x))


def _is_diagonal_normal(prior: Distribution) -> bool:
    """Returns whether the prior is a Normal with independent dimensions."""
    return hasattr(prior, "from_standard_normal") and hasattr(prior, "log_prob_terms")


def _float32(array: Any) -> np.ndarray:
    return np.asarray(array, np.float32)
