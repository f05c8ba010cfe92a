"""Bounds on log p(x) for one example, and objectives `(model, params, key, batch) -> (loss, Aux)` made from them.

Names follow one rule. A bound on log p(x) of one example, which is maximized, has its own name (`elbo`, `iwae`); as a
function of `log_weights` it is named `<bound>_from_log_weights`. `negative_<bound>` is the objective minus that bound;
any other objective is named `<method>_loss` (`beta_vae_loss`, `vq_vae_loss`). `negative_stl`, `negative_dreg` and
`negative_piwae` also minimize minus the ELBO or the IWAE bound, with the gradient estimators of their papers. A
function of numbers returns the objective with these numbers: `negative_iwae(50)`, `beta_vae_loss(4.0)`. With a `beta`
other than 1, for a KL warm-up, the loss is not a bound; the metrics still report the bound. `*_from_terms` and
`batch_*` are the arithmetic on arrays. `mean_over_batch` makes an objective that is a mean over examples; any other
objective needs its whole batch.
"""

from vae_jax.objectives import schedules as schedules
from vae_jax.objectives._ada_gvae import ada_gvae_loss as ada_gvae_loss
from vae_jax.objectives._ada_gvae import share_posteriors as share_posteriors
from vae_jax.objectives._aggregate import AggregateEstimator as AggregateEstimator
from vae_jax.objectives._aggregate import LogAggregate as LogAggregate
from vae_jax.objectives._aggregate import batch_log_aggregate as batch_log_aggregate
from vae_jax.objectives._aggregate import exact as exact
from vae_jax.objectives._aggregate import minibatch_log_weights as minibatch_log_weights
from vae_jax.objectives._aggregate import minibatch_weighted as minibatch_weighted
from vae_jax.objectives._aggregate import stratified as stratified
from vae_jax.objectives._aggregate import stratified_log_weights as stratified_log_weights
from vae_jax.objectives._batch import Aux as Aux
from vae_jax.objectives._batch import Objective as Objective
from vae_jax.objectives._batch import map_over_batch as map_over_batch
from vae_jax.objectives._batch import mean_over_batch as mean_over_batch
from vae_jax.objectives._beta_tc import RateDecomposition as RateDecomposition
from vae_jax.objectives._beta_tc import beta_tcvae_loss as beta_tcvae_loss
from vae_jax.objectives._beta_tc import rate_decomposition as rate_decomposition
from vae_jax.objectives._beta_vae import beta_loss_from_terms as beta_loss_from_terms
from vae_jax.objectives._beta_vae import beta_vae_loss as beta_vae_loss
from vae_jax.objectives._beta_vae import capacity_loss as capacity_loss
from vae_jax.objectives._beta_vae import capacity_loss_from_terms as capacity_loss_from_terms
from vae_jax.objectives._beta_vae import sampled_beta_vae_loss as sampled_beta_vae_loss
from vae_jax.objectives._beta_vae import stl_beta_vae_loss as stl_beta_vae_loss
from vae_jax.objectives._code_prior import code_prior_loss as code_prior_loss
from vae_jax.objectives._dip import batch_covariance as batch_covariance
from vae_jax.objectives._dip import dip_penalty as dip_penalty
from vae_jax.objectives._dip import dip_vae_i_loss as dip_vae_i_loss
from vae_jax.objectives._dip import dip_vae_ii_loss as dip_vae_ii_loss
from vae_jax.objectives._dreg import negative_dreg as negative_dreg
from vae_jax.objectives._dreg import negative_stl as negative_stl
from vae_jax.objectives._elbo import ElboTerms as ElboTerms
from vae_jax.objectives._elbo import elbo as elbo
from vae_jax.objectives._elbo import elbo_from_terms as elbo_from_terms
from vae_jax.objectives._elbo import elbo_metrics as elbo_metrics
from vae_jax.objectives._elbo import elbo_terms as elbo_terms
from vae_jax.objectives._elbo import has_closed_form_kl as has_closed_form_kl
from vae_jax.objectives._elbo import negative_elbo as negative_elbo
from vae_jax.objectives._elbo import negative_sampled_elbo as negative_sampled_elbo
from vae_jax.objectives._elbo import sampled_elbo as sampled_elbo
from vae_jax.objectives._elbo import sampled_elbo_terms as sampled_elbo_terms
from vae_jax.objectives._factor_vae import batch_permute_dimensions as batch_permute_dimensions
from vae_jax.objectives._factor_vae import discriminator_loss as discriminator_loss
from vae_jax.objectives._factor_vae import factor_vae_loss as factor_vae_loss
from vae_jax.objectives._free_bits import batch_free_bits_rate as batch_free_bits_rate
from vae_jax.objectives._free_bits import free_bits_loss as free_bits_loss
from vae_jax.objectives._gradients import path_derivative as path_derivative
from vae_jax.objectives._gradients import stop_generation as stop_generation
from vae_jax.objectives._gradients import stop_inference as stop_inference
from vae_jax.objectives._gumbel_softmax import gumbel_softmax_loss as gumbel_softmax_loss
from vae_jax.objectives._iwae import iwae as iwae
from vae_jax.objectives._iwae import log_mean_exp as log_mean_exp
from vae_jax.objectives._iwae import log_weight as log_weight
from vae_jax.objectives._iwae import log_weights as log_weights
from vae_jax.objectives._iwae import negative_bound as negative_bound
from vae_jax.objectives._iwae import negative_iwae as negative_iwae
from vae_jax.objectives._miwae import ciwae_from_log_weights as ciwae_from_log_weights
from vae_jax.objectives._miwae import miwae_from_log_weights as miwae_from_log_weights
from vae_jax.objectives._miwae import negative_ciwae as negative_ciwae
from vae_jax.objectives._miwae import negative_miwae as negative_miwae
from vae_jax.objectives._miwae import negative_piwae as negative_piwae
from vae_jax.objectives._mmd import batch_mmd as batch_mmd
from vae_jax.objectives._mmd import gaussian_kernel as gaussian_kernel
from vae_jax.objectives._mmd import info_vae_loss as info_vae_loss
from vae_jax.objectives._mmd import inverse_multiquadratic_kernel as inverse_multiquadratic_kernel
from vae_jax.objectives._mmd import wae_mmd_loss as wae_mmd_loss
from vae_jax.objectives._quantized import vq_vae_loss as vq_vae_loss
from vae_jax.objectives._reconstruction import distortion as distortion
from vae_jax.objectives._reconstruction import reconstruction_loss as reconstruction_loss
from vae_jax.objectives._renyi import negative_renyi as negative_renyi
from vae_jax.objectives._renyi import renyi_from_log_weights as renyi_from_log_weights
from vae_jax.objectives._semi_supervised import LabelWeights as LabelWeights
from vae_jax.objectives._semi_supervised import label_weights as label_weights
from vae_jax.objectives._semi_supervised import semi_supervised_from_terms as semi_supervised_from_terms
from vae_jax.objectives._semi_supervised import semi_supervised_loss as semi_supervised_loss
from vae_jax.objectives._wrapped import Scheduled as Scheduled
from vae_jax.objectives._wrapped import at_step as at_step
from vae_jax.objectives._wrapped import is_mean_over_examples as is_mean_over_examples
from vae_jax.objectives._wrapped import scheduled as scheduled
from vae_jax.objectives._wrapped import warm_up_steps_of as warm_up_steps_of
from vae_jax.objectives._wrapped import with_preprocessing as with_preprocessing
from vae_jax.objectives.adaptive._geco import geco_loss as geco_loss
from vae_jax.objectives.adaptive._geco import geco_loss_from_terms as geco_loss_from_terms
from vae_jax.objectives.adaptive._optimal_variance import batch_optimal_variance as batch_optimal_variance
from vae_jax.objectives.adaptive._optimal_variance import optimal_variance_loss as optimal_variance_loss
from vae_jax.objectives.schedules import Schedule as Schedule
from vae_jax.objectives.schedules import cyclical as cyclical
from vae_jax.objectives.schedules import linear as linear
