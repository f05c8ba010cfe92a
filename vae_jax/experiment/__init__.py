"""What the scripts in `experiments/` share: from a command line to a finished run folder."""

from typing import TYPE_CHECKING

from vae_jax._lazy import lazy_names

# Lazy, as in vae_jax itself: words and exit codes need no JAX.
if TYPE_CHECKING:
    from vae_jax.experiment.beta_vae import BETA_VAE as BETA_VAE
    from vae_jax.experiment.beta_vae import BetaSettings as BetaSettings
    from vae_jax.experiment.command_line import main as main
    from vae_jax.experiment.environment import device_name as device_name
    from vae_jax.experiment.environment import versions as versions
    from vae_jax.experiment.evaluate import open_run as open_run
    from vae_jax.experiment.evaluate import prepare_evaluation as prepare_evaluation
    from vae_jax.experiment.evaluate import run_evaluation as run_evaluation
    from vae_jax.experiment.evaluate_options import Evaluate as Evaluate
    from vae_jax.experiment.exits import exit_on_bad_input as exit_on_bad_input
    from vae_jax.experiment.method import Method as Method
    from vae_jax.experiment.pipeline import run as run
    from vae_jax.experiment.prepared import prepare as prepare
    from vae_jax.experiment.problem import Problem as Problem
    from vae_jax.experiment.problem import make_gaussian_vae as make_gaussian_vae
    from vae_jax.experiment.problem import make_networks as make_networks
    from vae_jax.experiment.problem import make_problem as make_problem
    from vae_jax.experiment.recipes import AUTOENCODER as AUTOENCODER
    from vae_jax.experiment.recipes import RECIPES as RECIPES
    from vae_jax.experiment.recipes import VAE as VAE
    from vae_jax.experiment.settings import Settings as Settings
    from vae_jax.experiment.settings import resolve as resolve
    from vae_jax.experiment.vq_vae import VQ_VAE as VQ_VAE
    from vae_jax.experiment.vq_vae import VQSettings as VQSettings
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "vae_jax.experiment.beta_vae": "BETA_VAE BetaSettings",
            "vae_jax.experiment.command_line": "main",
            "vae_jax.experiment.environment": "device_name versions",
            "vae_jax.experiment.evaluate": "open_run prepare_evaluation run_evaluation",
            "vae_jax.experiment.evaluate_options": "Evaluate",
            "vae_jax.experiment.exits": "exit_on_bad_input",
            "vae_jax.experiment.method": "Method",
            "vae_jax.experiment.pipeline": "run",
            "vae_jax.experiment.prepared": "prepare",
            "vae_jax.experiment.problem": "Problem make_gaussian_vae make_networks make_problem",
            "vae_jax.experiment.recipes": "AUTOENCODER RECIPES VAE",
            "vae_jax.experiment.settings": "Settings resolve",
            "vae_jax.experiment.vq_vae": "VQ_VAE VQSettings",
        },
    )
