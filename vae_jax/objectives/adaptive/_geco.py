"""GECO: the smallest rate at which the distortion meets a constraint, in place of a weight beta."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE, Model
from vae_jax.models.additions._with_buffers import CONSTRAINT
from vae_jax.objectives._batch import Aux, Objective, map_over_batch
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics, encoded
from vae_jax.objectives.adaptive._buffers import buffer_of, moving_average, with_buffer
from vae_jax.params import Params

# The multiplier stays between exp(-7) and exp(7), about 1100: a constraint that cannot be met lets it grow.
_LARGEST_LOG_MULTIPLIER = 7.0


def geco_loss_from_terms(log_likelihood: ArrayLike, kl: ArrayLike, multiplier: ArrayLike, nats: ArrayLike) -> jax.Array:
    """Loss with a Lagrange multiplier: kl + multiplier (-log_likelihood - nats).

    Source: Rezende & Viola 2018 (arXiv:1810.00597), eq. 3.
    """
    return jnp.asarray(kl) + jnp.asarray(multiplier) * (-jnp.asarray(log_likelihood) - jnp.asarray(nats))


def geco_loss(tolerance: float, step_size: float = 0.02, decay: float = 0.99) -> Objective:
    """The objective rate + lambda (distortion - tolerance), lambda being adapted until the distortion is the tolerance.

    It solves: minimize KL(q(z | x) || p(z)) subject to E[-log p(x | z)] <= tolerance. After each batch

      log lambda <- log lambda + step_size C / D,

    with the constraint C = distortion - tolerance as a moving average, and D the numbers in an example, so that the
    step size does not depend on the size of images. The gradient is that of the batch; the value of the loss has the
    moving average in place of the batch's constraint, as in the paper. For squared errors, whose tolerance is a number
    of pixel units, `likelihoods.fixed_normal(0.5)` has the distortion |x - mean|^2 + D / 2 log(pi).

    Losses of different steps cannot be compared, because lambda and the moving average differ. So that `fit` keeps the
    parameters of the last epoch, not those with the lowest loss, give it `Scheduled(lambda step: geco_loss(90.0), n)`
    with the number n of steps of the whole training.

    It needs its batch as a whole: no microbatches. Metrics: `elbo`, `rate`, `distortion`; `constraint`, the moving
    average of C, and `multiplier`, the lambda of the loss; 1 / lambda is the beta of a beta-VAE.

    Args:
      tolerance: largest mean distortion, in nats per example.
      step_size: speed of the multiplier, above 0. The multiplier lags behind: at first it grows beyond its final value,
        the more the larger the step size is.
      decay: of the moving average, from 0 to 1; of fewer batches than 1 / (1 - decay) it is the mean.

    Raises:
      ValueError: if an argument is out of range; by the objective, if the model lacks the buffers that
        `models.with_multiplier` adds.
      UndefinedError: by the objective, if the KL divergence has no closed form.

    Source: Rezende & Viola 2018 (arXiv:1810.00597), algorithm 1.
    """
    check_number("tolerance", tolerance)
    check_number("step_size", step_size, 0, above=True)
    check_number("decay", decay, 0, 1)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        kept = buffer_of(params, CONSTRAINT, "objectives.geco_loss", "models.with_multiplier")

        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[ElboTerms, jax.Array]:
            return encoded(vae, params, key, x).terms, jnp.float32(sum(leaf.size for leaf in jax.tree.leaves(x)))

        terms, sizes = map_over_batch(example, model, key, batch)
        metrics = jax.tree.map(jnp.mean, elbo_metrics(terms))
        multiplier = jnp.exp(kept["log_multiplier"])
        constraint = metrics["distortion"] - tolerance
        average = moving_average(kept["average"], kept["updates"], jax.lax.stop_gradient(constraint), decay)
        # The value of the average, with the gradient of the batch.
        shown = constraint + average - jax.lax.stop_gradient(constraint)
        loss = geco_loss_from_terms(-shown, metrics["rate"], multiplier, 0.0)
        log_multiplier = jnp.clip(
            kept["log_multiplier"] + step_size * average / sizes[0], -_LARGEST_LOG_MULTIPLIER, _LARGEST_LOG_MULTIPLIER
        )
        numbers_kept = {"log_multiplier": log_multiplier, "average": average, "updates": kept["updates"] + 1.0}
        metrics |= {"constraint": average, "multiplier": multiplier}
        return loss, Aux(metrics, with_buffer(params, CONSTRAINT, numbers_kept))

    return objective
