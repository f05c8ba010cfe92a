"""Bounds on log p(x) for one example, and objectives `(model, params, key, batch) -> (loss, Aux)` made from them."""

from vae_jax.objectives.batch import Aux as Aux
from vae_jax.objectives.batch import Objective as Objective
from vae_jax.objectives.batch import mean_over_batch as mean_over_batch
from vae_jax.objectives.batch import on_prepared as on_prepared
from vae_jax.objectives.beta import beta as beta
from vae_jax.objectives.beta import beta_loss_from_terms as beta_loss_from_terms
from vae_jax.objectives.elbo import ElboTerms as ElboTerms
from vae_jax.objectives.elbo import elbo as elbo
from vae_jax.objectives.elbo import elbo_from_terms as elbo_from_terms
from vae_jax.objectives.elbo import elbo_metrics as elbo_metrics
from vae_jax.objectives.elbo import elbo_terms as elbo_terms
from vae_jax.objectives.elbo import negative_elbo as negative_elbo
from vae_jax.objectives.elbo import negative_sampled_elbo as negative_sampled_elbo
from vae_jax.objectives.elbo import sampled_elbo as sampled_elbo
from vae_jax.objectives.elbo import sampled_elbo_terms as sampled_elbo_terms
from vae_jax.objectives.iwae import iwae as iwae
from vae_jax.objectives.iwae import log_mean_exp as log_mean_exp
from vae_jax.objectives.iwae import log_weight as log_weight
from vae_jax.objectives.reconstruction import distortion as distortion
from vae_jax.objectives.reconstruction import reconstruction as reconstruction
