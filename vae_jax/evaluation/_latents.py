"""Statistics of the posterior for each latent dimension: means, active units and KL divergences."""

from __future__ import annotations

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax import distributions
from vae_jax.distributions import Distribution, UndefinedError, mean_of
from vae_jax.evaluation._examples import jitted, over_examples, with_prior_computed
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models._model import VAE, Model
from vae_jax.params import Params

ACTIVE_THRESHOLD = 0.01  # threshold of Burda et al., in units of the prior's variance


@jitted("model", "batch_size")
def posterior_means(model: Model, params: Params, xs: Any, batch_size: int = 100) -> Any:
    """Means of q(z | x) of all examples, `[N, D]`, in one jitted program.

    Raises:
      UndefinedError: if the posterior has no mean (a Chain, a Categorical).
    """
    unused = jax.random.key(0)  # the mean needs no noise
    one = lambda vae, params, _, x: mean_of(vae.encode(params, x))
    return over_examples(one, model, params, unused, xs, batch_size)


def active_units(means: ArrayLike, threshold: float = ACTIVE_THRESHOLD) -> jax.Array:
    """Number of active units, the dimensions u with Var_x(E[z_u | x]) > threshold.

    Args:
      means: `[N, D]` posterior means over a data set.
      threshold: 0.01 in the paper, in units of the prior's variance.

    Returns:
      An int32 scalar between 0 and D.

    Source: Burda et al. 2016 (arXiv:1509.00519), section 5.2.
    """
    means = jnp.asarray(means)
    chex.assert_rank(means, 2)
    return jnp.sum(jnp.var(means, axis=0) > threshold).astype(jnp.int32)


@jitted("model", "num_samples", "batch_size")
def variances_of_means(
    model: Model, params: Params, key: jax.Array, xs: Any, num_samples: int = 100, batch_size: int = 100
) -> Any:
    """Variances Var_x(E[z_u | x]) of every unit u, the activity that `active_units` thresholds, for any z.

    If the posterior has no mean (several stochastic layers), E[z | x] is estimated by the mean m of K draws. The
    expected contribution of its noise is subtracted: Var_x(m) - E_x[s^2] / K, where s^2 is the variance of the draws.
    The estimate may be below 0.

    Args:
      model: the model; z may be any pytree.
      params: the model's parameters.
      key: PRNG key, consumed; unused if the posterior has a mean.
      xs: `[N, ...]` examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
      num_samples: K, at least 2.
      batch_size: number of examples computed at once.

    Returns:
      Variances in the structure and shape of z.

    Raises:
      ValueError: if num_samples is below 2.

    Source: Burda et al. 2016 (arXiv:1509.00519), section 5.2, which counts the units of each stochastic layer.
    """

    require_at_least_one(num_samples=num_samples)
    if num_samples < 2:
        raise ValueError(f"num_samples must be at least 2, got {num_samples}")

    def example(vae: VAE, params: Params, key: jax.Array, x: Any) -> tuple[Any, Any]:
        posterior = vae.encode(params, x)
        try:
            mean = mean_of(posterior)
            return mean, jax.tree.map(jnp.zeros_like, mean)
        except UndefinedError:
            draws = jax.vmap(posterior.sample)(jax.random.split(key, num_samples))
            noise = jax.tree.map(lambda z: jnp.var(z, axis=0, ddof=1) / num_samples, draws)
            return jax.tree.map(partial(jnp.mean, axis=0), draws), noise

    means, noise = over_examples(example, model, params, key, xs, batch_size)
    return jax.tree.map(lambda m, s: jnp.var(m, axis=0) - jnp.mean(s, axis=0), means, noise)


def kl_of_dimensions(posterior: Distribution, prior: Distribution) -> jax.Array:
    """KL(q(z_d | x) || p(z_d)) of one example for every dimension d of the flattened z: `[D]`, in nats.

    Raises:
      UndefinedError: if posterior and prior do not factorize in the same way, or have no KL divergence in closed form.
    """
    leaves = jax.tree.leaves(distributions.kl_per_dimension(posterior, prior))
    return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])


@jitted("model", "batch_size")
def kl_per_dimension(model: Model, params: Params, xs: Any, batch_size: int = 100) -> jax.Array:
    """Mean over the examples of KL(q(z_d | x) || p(z_d)) for every dimension d of the flattened z: `[D]`, in nats.

    The sum over dimensions is the rate, because posterior and prior factorize over them.

    Raises:
      UndefinedError: if posterior and prior do not factorize in the same way, or have no KL divergence in closed form.
    """

    def example(vae: VAE, params: Params, key: jax.Array, x: Any) -> jax.Array:
        return kl_of_dimensions(vae.encode(params, x), vae.prior(params))

    unused = jax.random.key(0)  # the divergence has a closed form
    model = with_prior_computed(model, params, xs)
    return jnp.mean(over_examples(example, model, params, unused, xs, batch_size), axis=0)
