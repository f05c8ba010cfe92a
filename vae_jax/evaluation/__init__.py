"""What a trained model is worth, measured on a whole data set."""

from vae_jax.evaluation.bits import bits_per_dimension as bits_per_dimension
from vae_jax.evaluation.elbo import mean_over_samples as mean_over_samples
from vae_jax.evaluation.examples import Estimate as Estimate
from vae_jax.evaluation.examples import mean_over_examples as mean_over_examples
from vae_jax.evaluation.examples import over_examples as over_examples
from vae_jax.evaluation.importance_sampling import (
    importance_sampled_log_likelihood as importance_sampled_log_likelihood,
)
from vae_jax.evaluation.latents import active_units as active_units
from vae_jax.evaluation.latents import kl_per_dimension as kl_per_dimension
from vae_jax.evaluation.latents import posterior_means as posterior_means
from vae_jax.evaluation.measures import Measures as Measures
from vae_jax.evaluation.measures import measure_autoencoder as measure_autoencoder
from vae_jax.evaluation.measures import measure_vae as measure_vae
