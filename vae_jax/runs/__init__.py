"""Runs: from settings to a finished run folder, and back. For the command, the experiments, and scripts of your own."""

from typing import TYPE_CHECKING

from vae_jax._lazy import lazy_names

# Lazy, as in vae_jax itself: limits and options need no JAX.
if TYPE_CHECKING:
    from vae_jax.runs.folder import RunFolder as RunFolder
    from vae_jax.runs.images.evaluation import prepare_evaluation as prepare_evaluation
    from vae_jax.runs.images.evaluation import run_evaluation as run_evaluation
    from vae_jax.runs.images.kind import IMAGES as IMAGES
    from vae_jax.runs.loading import open_run as open_run
    from vae_jax.runs.machine import device_name as device_name
    from vae_jax.runs.machine import versions as versions
    from vae_jax.runs.options import Evaluate as Evaluate
    from vae_jax.runs.pipeline import run as run
    from vae_jax.runs.preparation import prepare as prepare
    from vae_jax.runs.recipe import Recipe as Recipe
    from vae_jax.runs.recipes import AUTOENCODER as AUTOENCODER
    from vae_jax.runs.recipes import BETA_VAE as BETA_VAE
    from vae_jax.runs.recipes import DISENTANGLE as DISENTANGLE
    from vae_jax.runs.recipes import RECIPES as RECIPES
    from vae_jax.runs.recipes import SEMI_SUPERVISED as SEMI_SUPERVISED
    from vae_jax.runs.recipes import VAE as VAE
    from vae_jax.runs.recipes import VQ_VAE as VQ_VAE
    from vae_jax.runs.recipes import preset as preset
    from vae_jax.runs.settings import CodeSettings as CodeSettings
    from vae_jax.runs.settings import FactorSettings as FactorSettings
    from vae_jax.runs.settings import LabelSettings as LabelSettings
    from vae_jax.runs.settings import Settings as Settings
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "vae_jax.runs.images.evaluation": "prepare_evaluation run_evaluation",
            "vae_jax.runs.options": "Evaluate",
            "vae_jax.runs.folder": "RunFolder",
            "vae_jax.runs.images.kind": "IMAGES",
            "vae_jax.runs.loading": "open_run",
            "vae_jax.runs.machine": "device_name versions",
            "vae_jax.runs.pipeline": "run",
            "vae_jax.runs.preparation": "prepare",
            "vae_jax.runs.recipe": "Recipe",
            "vae_jax.runs.recipes": "AUTOENCODER BETA_VAE DISENTANGLE RECIPES SEMI_SUPERVISED VAE VQ_VAE preset",
            "vae_jax.runs.settings": "CodeSettings FactorSettings LabelSettings Settings",
        },
    )
