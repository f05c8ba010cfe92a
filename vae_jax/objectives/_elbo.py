"""The evidence lower bound, log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z)), and its negative as a loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import (
    Distribution,
    UndefinedError,
    check_support,
    kl_divergence,
    sample_and_log_prob_of,
)
from vae_jax.models._model import VAE, Model, bind, model_input
from vae_jax.objectives._batch import Metrics, mean_over_batch
from vae_jax.objectives._require import requiring
from vae_jax.params import Params


class ElboTerms(NamedTuple):
    """Terms of the ELBO of one example, each a scalar in nats."""

    log_likelihood: jax.Array  # one-sample estimate of E_q log p(x | z); its negative is the distortion
    kl: jax.Array  # KL(q(z | x) || p(z)), the rate


def elbo_from_terms(log_likelihood: ArrayLike, kl: ArrayLike) -> jax.Array:
    """The ELBO, log_likelihood - kl."""
    return jnp.asarray(log_likelihood) - jnp.asarray(kl)


class Encoded(NamedTuple):
    """Posterior, code and ELBO terms of one example, for objectives that need the whole batch."""

    posterior: Distribution  # q(z | x)
    z: Any  # one draw from the posterior
    terms: ElboTerms  # ELBO terms at that draw, the KL divergence in closed form


def encoded(model: VAE, params: Params, key: jax.Array, x: Any) -> Encoded:
    """The posterior of one example, one z drawn from it, and `elbo_terms` at that z; raises as `elbo_terms` does."""
    posterior = model.encode(params, model_input("x", x))
    z = posterior.sample(key)
    log_likelihood = log_likelihood_of(model.decode(params, z), x)
    with requiring("model", "if the posterior has no density, use objectives.reconstruction_loss"):
        terms = ElboTerms(log_likelihood, kl_divergence(posterior, model.prior(params)))
    chex.assert_rank(terms, 0)  # a density that does not sum over its event would be averaged later without an error
    return Encoded(posterior, z, terms)


def elbo_terms(model: VAE, params: Params, key: jax.Array, x: Any) -> ElboTerms:
    """ELBO terms log p(x | z) at one z ~ q(z | x), and KL(q(z | x) || p(z)) in closed form.

    Raises:
      UndefinedError: if the KL divergence has no closed form; `sampled_elbo_terms` needs none.
      TypeError: if x is raw uint8 pixels.
      ValueError: if x has another shape than the model's examples, or lies outside the support of the likelihood; under
        the caller's `jit`, `grad` or `vmap` values are not known, and only shapes and dtypes are checked.
      AssertionError: if a density of one example is not a scalar.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), eq. 7 (estimator B).
    """
    return encoded(model, params, key, x).terms


def sampled_elbo_terms(model: VAE, params: Params, key: jax.Array, x: Any) -> ElboTerms:
    """ELBO terms log p(x | z) and log q(z | x) - log p(z), both at the same z ~ q(z | x).

    The second is an unbiased estimate of the KL divergence, and may be negative. Errors as for `elbo_terms`, except
    that UndefinedError is raised only if the posterior has no density.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), eq. 6 (estimator A).
    """
    posterior = model.encode(params, model_input("x", x))
    with requiring(
        "model: this objective needs log q(z | x) at a draw from the posterior that model.encode returns, which has no "
        "density",
        "objectives.reconstruction_loss needs none",
    ):
        z, log_q = sample_and_log_prob_of(posterior, key)
    terms = ElboTerms(log_likelihood_of(model.decode(params, z), x), log_q - model.prior(params).log_prob(z))
    chex.assert_rank(terms, 0)  # as in `encoded`
    return terms


def has_closed_form_kl(model: Model, params: Params, x: Any) -> bool:
    """Returns True if KL(q(z | x) || p(z)) has a closed form, so that `elbo` and its objectives are defined.

    If False, use `sampled_elbo` and its objectives, which need only densities (of a mixture, a VampPrior or a chain). A
    Delta of floating-point values has neither a closed form (its divergence from a density is infinite) nor a density;
    its objective is `reconstruction_loss`.

    Only shapes and dtypes are used, and nothing is computed.

    Args:
      model: a VAE or a `Conditional`.
      params: its parameters, or their shapes, such as `jax.eval_shape(model.init, key)`.
      x: one example, or its shape; an `Example` for a `Conditional`.

    Raises:
      TypeError: if x has a context and the model takes none, or has none and the model takes one; if x is raw uint8
        pixels.
      ValueError: by the model, if x has another shape than its examples.
    """

    def divergence(params: Params, x: Any) -> jax.Array:
        vae, x = bind(model, x)
        return kl_divergence(vae.encode(params, x), vae.prior(params))

    try:
        jax.eval_shape(divergence, params, x)
    except UndefinedError:
        return False
    return True


def log_likelihood_of(likelihood: Distribution, x: Any) -> jax.Array:
    """Log-likelihood log p(x | z); x is checked to be in the support, except under `jit`, `grad` and `vmap`.

    Raises:
      ValueError: if the values of x are known and outside the support.
    """
    check_support(likelihood, x, "x")
    return likelihood.log_prob(x)


def elbo(model: VAE, params: Params, key: jax.Array, x: Any) -> jax.Array:
    """One-sample estimate of the ELBO of one example, with the KL divergence in closed form: a scalar in nats."""
    return elbo_from_terms(*elbo_terms(model, params, key, x))


def sampled_elbo(model: VAE, params: Params, key: jax.Array, x: Any) -> jax.Array:
    """One-sample estimate of the ELBO of one example, without any closed form: a scalar in nats."""
    return elbo_from_terms(*sampled_elbo_terms(model, params, key, x))


def elbo_metrics(terms: ElboTerms) -> Metrics:
    """Metrics that every objective with an ELBO reports, whatever its loss: elbo, rate and distortion."""
    return {"elbo": elbo_from_terms(*terms), "rate": terms.kl, "distortion": -terms.log_likelihood}


@mean_over_batch
def negative_elbo(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
    """-`elbo`, with the KL divergence in closed form: a mean over the batch in nats per example, with one z each.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), eq. 7.
    """
    metrics = elbo_metrics(elbo_terms(model, params, key, x))
    return -metrics["elbo"], metrics


@mean_over_batch
def negative_sampled_elbo(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
    """-`sampled_elbo`, without any closed form: a mean over the batch in nats per example, with one z per example.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), eq. 6.
    """
    metrics = elbo_metrics(sampled_elbo_terms(model, params, key, x))
    return -metrics["elbo"], metrics
