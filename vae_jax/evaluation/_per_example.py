"""Codes and scores of each example of a data set."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import UndefinedError, kl_divergence, point_estimate_of, standard_deviation_of
from vae_jax.distributions._checks import check_count
from vae_jax.evaluation._batches import in_batches
from vae_jax.evaluation._examples import checked_examples, rows_at, with_prior_computed
from vae_jax.evaluation._importance_sampling import (
    ImportanceSampled,
    default_chunk_size,
    estimates_at,
    require_weights,
)
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models import reconstruct
from vae_jax.models._codes import Codes, sequence_of
from vae_jax.models._model import VAE, Model, bind
from vae_jax.objectives import distortion, elbo_from_terms, elbo_terms, sampled_elbo_terms
from vae_jax.params import Params


class EncodedExamples(NamedTuple):
    """Posteriors of N examples; a field is None if it is not defined for the model."""

    mean: jax.Array | None  # [N, D] mean of q(z | x), the parts of z joined into one vector; None for codes
    std: jax.Array | None  # [N, D]; None if the posterior has no standard deviation in closed form
    codes: jax.Array | None  # int32 [N, T] indices of a quantized model, in the order of `models.CodebookPrior`
    kl: jax.Array | None  # [N] KL(q(z | x) || p(z)), nats; None if it has no closed form


class ScoredExamples(NamedTuple):
    """Scores of N examples; a field is None if it is not defined for the model."""

    elbo: jax.Array | None  # [N] nats
    distortion: jax.Array  # [N] -E_q log p(x | z), nats
    mse: jax.Array | None  # [N] mean squared error of the reconstruction over the values of x; None without a mean
    importance: ImportanceSampled | None  # log p(x) with its diagnostics, each [N]; None without nll_samples

    @property
    def score(self) -> jax.Array:
        """Score `[N]`, lower for more unusual examples: log p(x) if estimated, else the ELBO, else -distortion."""
        if self.importance is not None:
            return self.importance.log_likelihood
        return -self.distortion if self.elbo is None else self.elbo


def encode_examples(model: Model, params: Params, xs: Any, *, batch_size: int = 100) -> EncodedExamples:
    """Encodes every example: mean and standard deviation of q(z | x), or the codes, and the KL divergence.

    Args:
      model: a VAE, or a `Conditional`.
      params: the model's parameters.
      xs: `[N, ...]` examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
      batch_size: number of examples computed at once.

    Returns:
      `EncodedExamples`. For several layers of z the mean is the ancestral mean.

    Raises:
      ValueError: if batch_size is below 1, or xs holds no example, or examples that do not suit the model.
      UndefinedError: if the posterior has neither a mean nor a point estimate.
    """
    xs, count = checked_examples(model, xs)
    require_at_least_one(batch_size=batch_size)
    return in_batches(lambda indices: encoded_at(model, params, rows_at(xs, indices)), count, batch_size)


@partial(jax.jit, static_argnames="model")
def encoded_at(model: Model, params: Params, xs: Any) -> EncodedExamples:
    """Encodes one batch of examples in one program."""
    model = with_prior_computed(model, params, xs)

    def one(example: Any) -> EncodedExamples:
        vae, x = bind(model, example, "xs")
        posterior = vae.encode(params, x)
        z = point_estimate_of(posterior)
        kl = _if_defined(lambda: kl_divergence(posterior, vae.prior(params)))
        if _is_codes(z):
            return EncodedExamples(None, None, sequence_of(z), kl)
        std = _if_defined(lambda: _as_vector(standard_deviation_of(posterior)))
        return EncodedExamples(_as_vector(z), std, None, kl)

    return jax.vmap(one)(xs)


def score_examples(
    model: Model,
    params: Params,
    key: jax.Array,
    xs: Any,
    *,
    elbo_samples: int = 16,
    nll_samples: int = 0,
    batch_size: int = 100,
) -> ScoredExamples:
    """Scores every example: ELBO, reconstruction error and, with nll_samples, importance-sampled log p(x).

    The draws of example i follow from key and i: batch_size does not change the results beyond rounding.

    Args:
      model: a VAE, or a `Conditional`.
      params: the model's parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
      elbo_samples: number of draws of z per example, for the ELBO and the distortion; 1 is used if the model has no
        ELBO or its z consists of codes, which are not random.
      nll_samples: number of importance samples per example; 0: none.
      batch_size: number of examples computed at once.

    Returns:
      `ScoredExamples`. The KL divergence in the ELBO is in closed form if there is one, else estimated by the same
      draws. If the posterior or the prior has no density (an autoencoder, a masked prior over codes), elbo is None.

    Raises:
      ValueError: if a number is out of range, or xs holds no example, or examples that do not suit the model.
      TypeError: if nll_samples is above 0 and the posterior has no density.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), eq. 6 and 7; Burda et al. 2016 (arXiv:1509.00519), section 5.
    """
    xs, count = checked_examples(model, xs)
    require_at_least_one(elbo_samples=elbo_samples, batch_size=batch_size)
    check_count("nll_samples", nll_samples, 0)
    if nll_samples:
        require_weights(model, params, xs)
    program = lambda indices: scored_at(model, params, key, indices, rows_at(xs, indices), elbo_samples, nll_samples)
    return in_batches(program, count, batch_size)


@partial(jax.jit, static_argnames=("model", "elbo_samples", "nll_samples"))
def scored_at(
    model: Model, params: Params, key: jax.Array, indices: jax.Array, xs: Any, elbo_samples: int, nll_samples: int
) -> ScoredExamples:
    """Scores one batch of examples, given their indices in the data set, in one program."""
    elbo_key, nll_key = jax.random.split(key)
    model = with_prior_computed(model, params, xs)

    def one(index: jax.Array, example: Any) -> ScoredExamples:
        vae, x = bind(model, example, "xs")
        encoded = _encoded_once(vae, params, x)
        terms = lambda k: _terms(encoded, params, k, x)
        has_codes = _is_codes(getattr(encoded.encode(params, x), "mean", None))
        single = has_codes or jax.eval_shape(terms, elbo_key)[0] is None
        keys = jax.random.split(jax.random.fold_in(elbo_key, index), 1 if single else elbo_samples)
        elbo, error = jax.tree.map(jnp.mean, jax.lax.map(terms, keys))
        return ScoredExamples(elbo, error, _if_defined(lambda: squared_error(encoded, params, x)), None)

    scored = jax.vmap(one)(indices, xs)
    if not nll_samples:
        return scored
    chunk_size = default_chunk_size(xs, indices.shape[0])
    return scored._replace(importance=estimates_at(model, params, nll_key, indices, xs, nll_samples, chunk_size))


def squared_error(vae: VAE, params: Params, x: Any) -> jax.Array:
    """Mean squared error of the reconstruction over the values of one example."""
    leaves = jax.tree.leaves(jax.tree.map(lambda mean, own: jnp.square(mean - own), reconstruct(vae, params, x), x))
    return sum(jnp.sum(leaf) for leaf in leaves) / sum(leaf.size for leaf in leaves)


def _terms(vae: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array | None, jax.Array]:
    """Estimates the ELBO, None if it is not defined, and the distortion with one draw of z."""
    for estimate in (elbo_terms, sampled_elbo_terms):
        terms = _if_defined(partial(estimate, vae, params, key, x))
        if terms is not None:
            return elbo_from_terms(*terms), -terms.log_likelihood
    return None, distortion(vae, params, key, x)


def _encoded_once(vae: VAE, params: Params, x: Any) -> VAE:
    """The VAE with the posterior of this x and the prior computed in advance."""
    posterior, prior = vae.encode(params, x), vae.prior(params)
    return vae._replace(encode=lambda own, x: posterior, prior=lambda own: prior)


def _if_defined(compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except UndefinedError:
        return None


def _is_codes(z: Any) -> bool:
    return isinstance(z, tuple) and len(z) > 0 and isinstance(z[0], Codes)


def _as_vector(z: Any) -> jax.Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(z)])
