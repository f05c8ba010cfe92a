"""The `VAE` record, one file for each way to compose networks and distributions into one, and what one does with it."""

from vae_jax.models import likelihoods as likelihoods
from vae_jax.models.autoencoder import autoencoder as autoencoder
from vae_jax.models.autoencoder import fit_prior as fit_prior
from vae_jax.models.code_prior import CodePrior as CodePrior
from vae_jax.models.code_prior import Sampling as Sampling
from vae_jax.models.gaussian_vae import conv_vae as conv_vae
from vae_jax.models.gaussian_vae import gaussian_vae as gaussian_vae
from vae_jax.models.gaussian_vae import mlp_vae as mlp_vae
from vae_jax.models.gaussian_vae import output_bias as output_bias
from vae_jax.models.hierarchical_vae import hierarchical_vae as hierarchical_vae
from vae_jax.models.likelihoods import Likelihood as Likelihood
from vae_jax.models.priors import with_mixture_prior as with_mixture_prior
from vae_jax.models.priors import with_vamp_prior as with_vamp_prior
from vae_jax.models.use import code as code
from vae_jax.models.use import decode as decode
from vae_jax.models.use import encode as encode
from vae_jax.models.use import great_circle as great_circle
from vae_jax.models.use import interpolate as interpolate
from vae_jax.models.use import reconstruct as reconstruct
from vae_jax.models.use import sample as sample
from vae_jax.models.use import straight_line as straight_line
from vae_jax.models.use import traverse as traverse
from vae_jax.models.vae import VAE as VAE
from vae_jax.models.vae import join_buffers as join_buffers
from vae_jax.models.vae import split_buffers as split_buffers
