"""Probability distributions: one per file, with the functions on arrays first and then the pytree that uses them."""

from vae_jax.distributions._bernoulli import Bernoulli as Bernoulli
from vae_jax.distributions._bernoulli import bernoulli_log_prob as bernoulli_log_prob
from vae_jax.distributions._categorical import Categorical as Categorical
from vae_jax.distributions._categorical import categorical_log_prob as categorical_log_prob
from vae_jax.distributions._chain import Chain as Chain
from vae_jax.distributions._continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from vae_jax.distributions._continuous_bernoulli import continuous_bernoulli_log_prob as continuous_bernoulli_log_prob
from vae_jax.distributions._delta import Delta as Delta
from vae_jax.distributions._discrete_uniform import DiscreteUniform as DiscreteUniform
from vae_jax.distributions._discretized_logistic import DiscretizedLogistic as DiscretizedLogistic
from vae_jax.distributions._discretized_logistic import discretized_logistic_log_prob as discretized_logistic_log_prob
from vae_jax.distributions._distribution import Distribution as Distribution
from vae_jax.distributions._distribution import UndefinedError as UndefinedError
from vae_jax.distributions._distribution import from_standard_normal_of as from_standard_normal_of
from vae_jax.distributions._distribution import kl_divergence as kl_divergence
from vae_jax.distributions._distribution import kl_per_dimension as kl_per_dimension
from vae_jax.distributions._distribution import log_prob_of as log_prob_of
from vae_jax.distributions._distribution import log_prob_terms_of as log_prob_terms_of
from vae_jax.distributions._distribution import mean_of as mean_of
from vae_jax.distributions._distribution import point_estimate_of as point_estimate_of
from vae_jax.distributions._distribution import sample_and_log_prob_of as sample_and_log_prob_of
from vae_jax.distributions._distribution import standard_deviation_of as standard_deviation_of
from vae_jax.distributions._joint import Joint as Joint
from vae_jax.distributions._joint import is_distribution as is_distribution
from vae_jax.distributions._laplace import Laplace as Laplace
from vae_jax.distributions._laplace import laplace_kl as laplace_kl
from vae_jax.distributions._laplace import laplace_log_prob as laplace_log_prob
from vae_jax.distributions._log_normal import LogNormal as LogNormal
from vae_jax.distributions._log_normal import log_normal_log_prob as log_normal_log_prob
from vae_jax.distributions._masked import Masked as Masked
from vae_jax.distributions._mixture import Mixture as Mixture
from vae_jax.distributions._multivariate_normal import MultivariateNormal as MultivariateNormal
from vae_jax.distributions._multivariate_normal import multivariate_normal_kl as multivariate_normal_kl
from vae_jax.distributions._multivariate_normal import multivariate_normal_log_prob as multivariate_normal_log_prob
from vae_jax.distributions._negative_binomial import NegativeBinomial as NegativeBinomial
from vae_jax.distributions._negative_binomial import negative_binomial_log_prob as negative_binomial_log_prob
from vae_jax.distributions._normal import Normal as Normal
from vae_jax.distributions._normal import gaussian_kl as gaussian_kl
from vae_jax.distributions._normal import normal_kl as normal_kl
from vae_jax.distributions._normal import normal_log_prob as normal_log_prob
from vae_jax.distributions._normal import reparameterize as reparameterize
from vae_jax.distributions._normal import standard_normal as standard_normal
from vae_jax.distributions._one_hot import OneHotCategorical as OneHotCategorical
from vae_jax.distributions._one_hot import gumbel_softmax as gumbel_softmax
from vae_jax.distributions._ordinal import Ordinal as Ordinal
from vae_jax.distributions._ordinal import ordinal_log_prob as ordinal_log_prob
from vae_jax.distributions._ordinal import ordinal_logits as ordinal_logits
from vae_jax.distributions._poisson import Poisson as Poisson
from vae_jax.distributions._poisson import poisson_log_prob as poisson_log_prob
from vae_jax.distributions._student_t import StudentT as StudentT
from vae_jax.distributions._student_t import student_t_log_prob as student_t_log_prob
from vae_jax.distributions._support import check_support as check_support
from vae_jax.distributions._support import outside_support as outside_support
from vae_jax.distributions._zero_inflated_negative_binomial import (
    ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial,
)
from vae_jax.distributions._zero_inflated_negative_binomial import (
    zero_inflated_negative_binomial_log_prob as zero_inflated_negative_binomial_log_prob,
)
