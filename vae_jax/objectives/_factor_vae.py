"""FactorVAE: the total correlation estimated by a discriminator that is trained with the VAE, in the same step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE, Model, num_examples
from vae_jax.models.additions._with_discriminator import DISCRIMINATOR
from vae_jax.objectives._batch import Aux, Objective, keys_of_examples, map_over_batch, unchanged
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics, encoded
from vae_jax.objectives._require import require_vector
from vae_jax.params import Params


def batch_permute_dimensions(key: jax.Array, zs: ArrayLike) -> jax.Array:
    """Permutes each dimension of `[B, D]` codes over the batch independently: approximate draws of prod_d q(z_d).

    Source: Kim & Mnih 2018 (arXiv:1802.05983), algorithm 1.
    """
    zs = jnp.asarray(zs)
    chex.assert_rank(zs, 2)
    return jax.vmap(jax.random.permutation, in_axes=(0, 1), out_axes=1)(jax.random.split(key, zs.shape[1]), zs)


def discriminator_loss(joint_logits: ArrayLike, permuted_logits: ArrayLike) -> jax.Array:
    """Cross-entropy -1/2 E log sigmoid(l(z)) - 1/2 E log(1 - sigmoid(l(z'))) of logits `[B]` each: log 2 at chance.

    Source: Kim & Mnih 2018 (arXiv:1802.05983), algorithm 2.
    """
    joint, permuted = jnp.asarray(joint_logits), jnp.asarray(permuted_logits)
    return 0.5 * (jnp.mean(jax.nn.softplus(-joint)) + jnp.mean(jax.nn.softplus(permuted)))


def factor_vae_loss(gamma: ArrayLike, discriminate: Callable[[Params, jax.Array], jax.Array]) -> Objective:
    """The objective -ELBO + gamma TC + the discriminator's loss, in nats per example.

    It needs its batch as a whole: no microbatches.

    TC is E_q(z) l(z), where l(z) is the discriminator's estimate of log q(z) / prod_d q(z_d). Gradients are stopped so
    that the TC trains only the VAE, and the discriminator's loss only the discriminator: one step trains both, at the
    learning rates that the optimizer gives them (`training.partitioned`). The discriminator distinguishes the codes of
    the batch from the same codes with each dimension permuted; the paper permutes the codes of a second batch.

    Metrics: `elbo`, `rate`, `distortion`; the estimate `total_correlation`; `discriminator_loss` (log 2 = 0.69 at
    chance) and `discriminator_accuracy`.

    Args:
      gamma: weight of the total correlation, at least 0; on dSprites the paper's best is around 35.
      discriminate: (params of the discriminator, z `[D]`) -> the logit l(z) for z being a draw of q(z), a scalar or
        `[1]`; `models.with_discriminator` adds the discriminator's params to the model's.

    Raises:
      ValueError: if gamma is below 0; by the objective, if the model has no discriminator, or the batch one example.
      TypeError: by the objective, if z is not a vector.

    Source: Kim & Mnih 2018 (arXiv:1802.05983), eq. 2 and algorithm 2.
    """
    check_number("gamma", gamma, 0)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        if DISCRIMINATOR not in params:
            raise ValueError(
                "model: objectives.factor_vae_loss needs a model with a discriminator among its params; "
                "models.with_discriminator(model, network) adds it"
            )
        size = num_examples("batch", batch)
        if size < 2:
            raise ValueError(f"batch must hold at least 2 examples, to permute codes among them, got {size}")
        discriminator = params[DISCRIMINATOR]
        keys = keys_of_examples(key, size)

        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[jax.Array, ElboTerms]:
            _, z, terms = encoded(vae, params, key, x)
            require_vector("objectives.factor_vae_loss", z)
            return z, terms

        codes, terms = map_over_batch(example, model, keys, batch)
        logits_of = lambda discriminator, zs: jax.vmap(lambda z: discriminate(discriminator, z).reshape(()))(zs)
        total_correlation = jnp.mean(logits_of(jax.lax.stop_gradient(discriminator), codes))
        zs = jax.lax.stop_gradient(codes)
        joint = logits_of(discriminator, zs)
        permuted = logits_of(discriminator, batch_permute_dimensions(jax.random.fold_in(keys[0], 1), zs))
        cross_entropy = discriminator_loss(joint, permuted)
        accuracy = 0.5 * (jnp.mean((joint > 0).astype(jnp.float32)) + jnp.mean((permuted < 0).astype(jnp.float32)))
        metrics = jax.tree.map(jnp.mean, elbo_metrics(terms)) | {
            "total_correlation": total_correlation,
            "discriminator_loss": cross_entropy,
            "discriminator_accuracy": accuracy,
        }
        return jnp.asarray(gamma) * total_correlation + cross_entropy - metrics["elbo"], unchanged(params, metrics)

    return objective
