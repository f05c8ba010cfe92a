"""Evaluation of trained models on a whole data set: likelihoods, diagnostics of the posterior, codes and scores."""

from vae_jax.evaluation._annealed_importance_sampling import Annealed as Annealed
from vae_jax.evaluation._annealed_importance_sampling import Sandwich as Sandwich
from vae_jax.evaluation._annealed_importance_sampling import Start as Start
from vae_jax.evaluation._annealed_importance_sampling import (
    annealed_importance_sampling as annealed_importance_sampling,
)
from vae_jax.evaluation._annealed_importance_sampling import bidirectional as bidirectional
from vae_jax.evaluation._annealed_importance_sampling import from_posterior as from_posterior
from vae_jax.evaluation._annealed_importance_sampling import from_prior as from_prior
from vae_jax.evaluation._bits import bits_per_dimension as bits_per_dimension
from vae_jax.evaluation._class_posteriors import ClassPosteriors as ClassPosteriors
from vae_jax.evaluation._class_posteriors import class_posteriors as class_posteriors
from vae_jax.evaluation._classifier import classifier_posteriors as classifier_posteriors
from vae_jax.evaluation._codes import codebook_counts as codebook_counts
from vae_jax.evaluation._codes import encode_sequences as encode_sequences
from vae_jax.evaluation._codes import measure_vq_vae as measure_vq_vae
from vae_jax.evaluation._collapse import collapse_by_activity as collapse_by_activity
from vae_jax.evaluation._collapse import collapse_by_kl as collapse_by_kl
from vae_jax.evaluation._elbo import mean_over_samples as mean_over_samples
from vae_jax.evaluation._elbo_surgery import ElboSurgery as ElboSurgery
from vae_jax.evaluation._elbo_surgery import elbo_surgery as elbo_surgery
from vae_jax.evaluation._examples import Estimate as Estimate
from vae_jax.evaluation._examples import mean_over_examples as mean_over_examples
from vae_jax.evaluation._examples import over_examples as over_examples
from vae_jax.evaluation._importance_sampling import ImportanceSampled as ImportanceSampled
from vae_jax.evaluation._importance_sampling import importance_sampling as importance_sampling
from vae_jax.evaluation._importance_sampling import importance_warning as importance_warning
from vae_jax.evaluation._imputation import Imputed as Imputed
from vae_jax.evaluation._imputation import impute as impute
from vae_jax.evaluation._imputation import impute_examples as impute_examples
from vae_jax.evaluation._latents import active_units as active_units
from vae_jax.evaluation._latents import kl_per_dimension as kl_per_dimension
from vae_jax.evaluation._latents import posterior_means as posterior_means
from vae_jax.evaluation._latents import variances_of_means as variances_of_means
from vae_jax.evaluation._measures import Measures as Measures
from vae_jax.evaluation._measures import measure_autoencoder as measure_autoencoder
from vae_jax.evaluation._measures import measure_vae as measure_vae
from vae_jax.evaluation._per_example import EncodedExamples as EncodedExamples
from vae_jax.evaluation._per_example import ScoredExamples as ScoredExamples
from vae_jax.evaluation._per_example import encode_examples as encode_examples
from vae_jax.evaluation._per_example import score_examples as score_examples
from vae_jax.evaluation._summary_measures import measure_annealing as measure_annealing
from vae_jax.evaluation._summary_measures import measure_nll as measure_nll
from vae_jax.evaluation._summary_measures import measure_surgery as measure_surgery
from vae_jax.evaluation._temperatures import sigmoid_temperatures as sigmoid_temperatures
