"""Probability densities: one a file, free functions on arrays first, then the pytree that uses them."""

from vae_jax.distributions.bernoulli import Bernoulli as Bernoulli
from vae_jax.distributions.bernoulli import bernoulli_log_prob as bernoulli_log_prob
from vae_jax.distributions.categorical import Categorical as Categorical
from vae_jax.distributions.categorical import categorical_log_prob as categorical_log_prob
from vae_jax.distributions.chain import Chain as Chain
from vae_jax.distributions.continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from vae_jax.distributions.continuous_bernoulli import continuous_bernoulli_log_prob as continuous_bernoulli_log_prob
from vae_jax.distributions.delta import Delta as Delta
from vae_jax.distributions.discretized_logistic import DiscretizedLogistic as DiscretizedLogistic
from vae_jax.distributions.discretized_logistic import discretized_logistic_log_prob as discretized_logistic_log_prob
from vae_jax.distributions.distribution import Distribution as Distribution
from vae_jax.distributions.distribution import UndefinedError as UndefinedError
from vae_jax.distributions.distribution import kl_divergence as kl_divergence
from vae_jax.distributions.distribution import log_prob_of as log_prob_of
from vae_jax.distributions.distribution import mean_of as mean_of
from vae_jax.distributions.distribution import sample_and_log_prob_of as sample_and_log_prob_of
from vae_jax.distributions.laplace import Laplace as Laplace
from vae_jax.distributions.laplace import laplace_kl as laplace_kl
from vae_jax.distributions.laplace import laplace_log_prob as laplace_log_prob
from vae_jax.distributions.mixture import Mixture as Mixture
from vae_jax.distributions.normal import Normal as Normal
from vae_jax.distributions.normal import gaussian_kl as gaussian_kl
from vae_jax.distributions.normal import normal_kl as normal_kl
from vae_jax.distributions.normal import normal_log_prob as normal_log_prob
from vae_jax.distributions.normal import reparameterize as reparameterize
from vae_jax.distributions.normal import standard_normal as standard_normal
