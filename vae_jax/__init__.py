"""Variational autoencoders as pure functions in JAX.

A VAE is a record of `init` and three functions that return distributions: `encode`, `prior`, `decode`. Bounds,
objectives, training and evaluation are written once and work for any VAE.
"""

from typing import TYPE_CHECKING

from vae_jax import _clock as _clock  # first, because it reads the clock
from vae_jax._lazy import lazy_names

__version__ = "0.1.0"

# Names for type checkers, completion and the documentation. At run time the table below imports the same names on first
# use: JAX takes seconds to import, and code that only reads files does not need it.
if TYPE_CHECKING:
    from vae_jax import data as data
    from vae_jax import distributions as distributions
    from vae_jax import evaluation as evaluation
    from vae_jax import explorer as explorer
    from vae_jax import export as export
    from vae_jax import models as models
    from vae_jax import networks as networks
    from vae_jax import objectives as objectives
    from vae_jax import quantizers as quantizers
    from vae_jax import runs as runs
    from vae_jax import training as training
    from vae_jax import visualization as visualization
    from vae_jax.citations import citation as citation
    from vae_jax.distributions import Bernoulli as Bernoulli
    from vae_jax.distributions import Normal as Normal
    from vae_jax.distributions import bernoulli_log_prob as bernoulli_log_prob
    from vae_jax.distributions import gaussian_kl as gaussian_kl
    from vae_jax.distributions import normal_log_prob as normal_log_prob
    from vae_jax.distributions import reparameterize as reparameterize
    from vae_jax.distributions import standard_normal as standard_normal
    from vae_jax.hub import load_from_hub as load_from_hub
    from vae_jax.hub import push_to_hub as push_to_hub
    from vae_jax.models import VAE as VAE
    from vae_jax.models import Conditional as Conditional
    from vae_jax.models import Example as Example
    from vae_jax.models import autoencoder as autoencoder
    from vae_jax.models import conditional as conditional
    from vae_jax.models import conditional_vae as conditional_vae
    from vae_jax.models import conv_vae as conv_vae
    from vae_jax.models import decode as decode
    from vae_jax.models import encode as encode
    from vae_jax.models import gaussian_vae as gaussian_vae
    from vae_jax.models import great_circle as great_circle
    from vae_jax.models import hierarchical_vae as hierarchical_vae
    from vae_jax.models import interpolate as interpolate
    from vae_jax.models import latent_code as latent_code
    from vae_jax.models import mlp_vae as mlp_vae
    from vae_jax.models import reconstruct as reconstruct
    from vae_jax.models import sample as sample
    from vae_jax.models import straight_line as straight_line
    from vae_jax.models import traverse as traverse
    from vae_jax.models import vae as vae
    from vae_jax.models import vq_vae as vq_vae
    from vae_jax.models import with_mixture_prior as with_mixture_prior
    from vae_jax.models import with_vamp_prior as with_vamp_prior
    from vae_jax.networks import Network as Network
    from vae_jax.networks import from_linen as from_linen
    from vae_jax.networks import from_nnx as from_nnx
    from vae_jax.objectives import beta_vae_loss as beta_vae_loss
    from vae_jax.objectives import elbo as elbo
    from vae_jax.objectives import elbo_terms as elbo_terms
    from vae_jax.objectives import iwae as iwae
    from vae_jax.objectives import log_weight as log_weight
    from vae_jax.objectives import negative_elbo as negative_elbo
    from vae_jax.objectives import negative_iwae as negative_iwae
    from vae_jax.objectives import sampled_elbo as sampled_elbo
    from vae_jax.params_file import load_params as load_params
    from vae_jax.params_file import save_params as save_params
    from vae_jax.runs.saved import load as load
    from vae_jax.runs.saved import save as save
    from vae_jax.training import TrainState as TrainState
    from vae_jax.training import fit as fit
    from vae_jax.training import init_train_state as init_train_state
    from vae_jax.training import make_train_step as make_train_step
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            __name__: (
                "data distributions evaluation explorer export models networks objectives quantizers runs training "
                "visualization"
            ),
            "vae_jax.citations": "citation",
            "vae_jax.distributions": (
                "Bernoulli Normal bernoulli_log_prob gaussian_kl normal_log_prob reparameterize standard_normal"
            ),
            "vae_jax.hub": "load_from_hub push_to_hub",
            "vae_jax.models": (
                "Conditional Example VAE autoencoder conditional conditional_vae conv_vae decode encode "
                "gaussian_vae great_circle hierarchical_vae interpolate latent_code mlp_vae reconstruct sample "
                "straight_line traverse vae vq_vae with_mixture_prior with_vamp_prior"
            ),
            "vae_jax.networks": "Network from_linen from_nnx",
            "vae_jax.objectives": (
                "beta_vae_loss elbo elbo_terms iwae log_weight negative_elbo negative_iwae sampled_elbo"
            ),
            "vae_jax.params_file": "load_params save_params",
            "vae_jax.runs.saved": "load save",
            "vae_jax.training": "TrainState fit init_train_state make_train_step",
        },
    )
