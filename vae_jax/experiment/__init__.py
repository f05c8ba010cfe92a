"""What the scripts in `experiments/` share: from a command line to a finished run folder."""

from vae_jax.experiment.command_line import main as main
from vae_jax.experiment.environment import device_name as device_name
from vae_jax.experiment.environment import versions as versions
from vae_jax.experiment.experiment import Method as Method
from vae_jax.experiment.experiment import prepare as prepare
from vae_jax.experiment.experiment import run as run
from vae_jax.experiment.problem import Problem as Problem
from vae_jax.experiment.problem import make_networks as make_networks
from vae_jax.experiment.problem import make_problem as make_problem
from vae_jax.experiment.settings import Settings as Settings
from vae_jax.experiment.settings import resolve as resolve
