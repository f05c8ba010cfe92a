"""Counts from a known negative binomial factor model, and the likelihoods that are compared on them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from vae_jax.distributions import Distribution, NegativeBinomial, standard_normal
from vae_jax.models import VAE, column_likelihoods, gaussian_vae
from vae_jax.models.likelihoods import Likelihood, per_element
from vae_jax.networks import Network, mlp_decoder, mlp_encoder
from vae_jax.params import Params

DISPERSION = 2.0  # r of every column: the variance is mean + mean^2 / r


def factor_model(columns: int, factors: int) -> VAE:
    """x_j ~ NB(mean exp(w_j^T z + b_j), dispersion 2) with z ~ N(0, I); `init` draws w ~ N(0, 0.4^2), b ~ N(1, 0.5^2).

    It is a VAE whose posterior nobody has fitted: `encode` returns the prior.
    """

    def init(key: jax.Array) -> Params:
        weights_key, intercepts_key = jax.random.split(key)
        weights = 0.4 * jax.random.normal(weights_key, (columns, factors))
        return {"weights": weights, "intercepts": 1.0 + 0.5 * jax.random.normal(intercepts_key, (columns,))}

    def decode(params: Params, z: jax.Array) -> Distribution:
        log_dispersion = jnp.full(columns, math.log(DISPERSION))
        return NegativeBinomial(params["weights"] @ z + params["intercepts"], log_dispersion)

    prior = lambda params: standard_normal(factors)
    return VAE(init, lambda params, x: prior(params), prior, decode)


def draws_of(model: VAE, params: Params, key: jax.Array, count: int) -> jax.Array:
    """Draws `count` examples of the model: z ~ p(z), x ~ p(x | z)."""

    def draw(key: jax.Array) -> Any:
        z_key, x_key = jax.random.split(key)
        return model.decode(params, model.prior(params).sample(z_key)).sample(x_key)

    return jax.jit(jax.vmap(draw))(jax.random.split(key, count))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class IntegratedNormal(Distribution):
    """Normal density integrated over [k - 1/2, k + 1/2] for each count k; the interval of 0 begins at -infinity.

    So its probabilities sum to 1 over the counts, as those of the distributions that it is compared with.
    """

    location: jax.Array
    log_variance: jax.Array

    support: ClassVar[str] = "the counts 0, 1, 2, ..."

    def log_prob_terms(self, value: jax.Array) -> jax.Array:
        scale = jnp.exp(0.5 * self.log_variance)
        upper = (value + 0.5 - self.location) / scale
        # 40 standard deviations lower is as good as -infinity, and has a gradient.
        lower = jnp.where(value > 0, (value - 0.5 - self.location) / scale, upper - 40.0)
        # Mirrored into the left tail, where a cumulative probability keeps its digits.
        mirrored = lower + upper > 0
        lower, upper = jnp.where(mirrored, -upper, lower), jnp.where(mirrored, -lower, upper)
        log_upper = norm.logcdf(upper)
        return log_upper + jnp.log(-jnp.expm1(norm.logcdf(lower) - log_upper))

    def log_prob(self, value: jax.Array) -> jax.Array:
        return jnp.sum(self.log_prob_terms(value))

    def sample(self, key: jax.Array) -> jax.Array:
        noise = jnp.exp(0.5 * self.log_variance) * jax.random.normal(key, self.location.shape)
        return jnp.maximum(jnp.round(self.location + noise), 0.0)


LIKELIHOODS = {
    "negative binomial": column_likelihoods.negative_binomial,
    "zero-inflated negative binomial": column_likelihoods.zero_inflated_negative_binomial,
    "Poisson": column_likelihoods.poisson,
    # Initially with a standard deviation as large as the mean.
    "integrated Normal": Likelihood(
        per_element(2),
        lambda outputs: IntegratedNormal(outputs[..., 0], outputs[..., 1]),
        lambda means: jnp.stack([means, 2.0 * jnp.log(means)], axis=-1),
    ),
}


def count_vae(columns: int, factors: int, hidden: int, likelihood: Likelihood, means: jax.Array) -> VAE:
    """VAE of counts with one hidden layer in each network; the encoder sees log(1 + x).

    Args:
      columns: number of counts of an example.
      factors: length of z.
      hidden: width of the hidden layers.
      likelihood: likelihood of a count, one of LIKELIHOODS.
      means: mean of each column, for the initial outputs.
    """
    encoder = mlp_encoder((columns,), 2 * factors, (hidden,))
    of_log = Network(encoder.init, lambda params, x: encoder.apply(params, jnp.log1p(x)))
    bias = likelihood.initial_outputs(means)
    decoder = mlp_decoder(factors, likelihood.output_shape((columns,)), (hidden,), bias)
    return gaussian_vae(of_log, decoder, factors, likelihood)
