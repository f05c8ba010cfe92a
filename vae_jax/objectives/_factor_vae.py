"""FactorVAE: the total correlation by a discriminator that is trained beside the VAE, in the same step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE, Model, num_examples
from vae_jax.models._with_discriminator import DISCRIMINATOR
from vae_jax.objectives._batch import Aux, Objective, keys_of_examples, map_over_batch, unchanged
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics, encoded
from vae_jax.objectives._require import require_vector
from vae_jax.params import Params


def batch_permute_dimensions(key: jax.Array, zs: ArrayLike) -> jax.Array:
    """Each dimension of `[B, D]` codes permuted over the batch by itself: codes of prod_d q(z_d), nearly.

    Source: Kim & Mnih 2018 (arXiv:1802.05983), algorithm 1.
    """
    zs = jnp.asarray(zs)
    chex.assert_rank(zs, 2)
    return jax.vmap(jax.random.permutation, in_axes=(0, 1), out_axes=1)(jax.random.split(key, zs.shape[1]), zs)


def discriminator_loss(joint_logits: ArrayLike, permuted_logits: ArrayLike) -> jax.Array:
    """-1/2 E log sigmoid(l(z)) - 1/2 E log(1 - sigmoid(l(z'))), of logits `[B]` each: log 2 if it cannot tell.

    Source: Kim & Mnih 2018 (arXiv:1802.05983), algorithm 2.
    """
    joint, permuted = jnp.asarray(joint_logits), jnp.asarray(permuted_logits)
    return 0.5 * (jnp.mean(jax.nn.softplus(-joint)) + jnp.mean(jax.nn.softplus(permuted)))


def factor_vae_loss(gamma: ArrayLike, discriminate: Callable[[Params, jax.Array], jax.Array]) -> Objective:
    """The objective -ELBO + gamma TC + the discriminator's own loss, in nats per example.

    It needs its batch as a whole: no microbatches.

    TC is E_q(z) l(z), with l(z) = log q(z) / prod_d q(z_d) as the discriminator has it. Gradients are stopped so that
    the TC trains the VAE alone, and the discriminator's loss the discriminator alone: one step trains both, at the
    learning rates that the optimizer gives them (`training.partitioned`). The discriminator is told codes of the batch
    from the same codes with each dimension permuted; the paper permutes those of a second batch.

    Metrics: `elbo`, `rate`, `distortion`; the estimate `total_correlation`; `discriminator_loss` (log 2 = 0.69 if it
    cannot tell) and `discriminator_accuracy`.

    Args:
      gamma: weight of the total correlation, at least 0; on dSprites the paper's best is around 35.
      discriminate: (params of the discriminator, z `[D]`) -> its logit l(z), a scalar or `[1]`, that z is of q(z);
        `models.with_discriminator` puts those params into the model's.

    Raises:
      ValueError: if gamma is below 0; by the objective, if the model has no discriminator, or a batch of one.
      TypeError: by the objective, if z is no vector.

    Source: Kim & Mnih 2018 (arXiv:1802.05983), eq. 2 and algorithm 2.
    """
    check_number("gamma", gamma, 0)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        if DISCRIMINATOR not in params:
            raise ValueError(
                "model: objectives.factor_vae_loss needs one with a discriminator among its params; "
                "models.with_discriminator(model, network) adds it"
            )
        size = num_examples("batch", batch)
        if size < 2:
            raise ValueError(f"batch must hold at least 2 examples, to permute codes among them, got {size}")
        own = params[DISCRIMINATOR]
        keys = keys_of_examples(key, size)

        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[jax.Array, ElboTerms]:
            _, z, terms = encoded(vae, params, key, x)
            require_vector("objectives.factor_vae_loss", z)
            return z, terms

        codes, terms = map_over_batch(example, model, keys, batch)
        logits_of = lambda own, zs: jax.vmap(lambda z: discriminate(own, z).reshape(()))(zs)
        total_correlation = jnp.mean(logits_of(jax.lax.stop_gradient(own), codes))
        zs = jax.lax.stop_gradient(codes)
        joint = logits_of(own, zs)
        permuted = logits_of(own, batch_permute_dimensions(jax.random.fold_in(keys[0], 1), zs))
        telling = discriminator_loss(joint, permuted)
        accuracy = 0.5 * (jnp.mean((joint > 0).astype(jnp.float32)) + jnp.mean((permuted < 0).astype(jnp.float32)))
        metrics = jax.tree.map(jnp.mean, elbo_metrics(terms)) | {
            "total_correlation": total_correlation,
            "discriminator_loss": telling,
            "discriminator_accuracy": accuracy,
        }
        return jnp.asarray(gamma) * total_correlation + telling - metrics["elbo"], unchanged(params, metrics)

    return objective
