"""Axes that a user composes a run from, each with a table of named choices.

A new choice is a new row. Its flags are the keyword-only arguments of its `build`; its help, the refusal of flags that
it does not use, its citations and its line in the documentation are derived from the row.
"""

from vae_jax.runs.choices._choice import Axis as Axis
from vae_jax.runs.choices._choice import Choice as Choice
from vae_jax.runs.choices._choice import alternatives as alternatives
from vae_jax.runs.choices.code_priors import CODE_PRIORS as CODE_PRIORS
from vae_jax.runs.choices.likelihoods import BINARIZATIONS as BINARIZATIONS
from vae_jax.runs.choices.likelihoods import CONTINUOUS as CONTINUOUS
from vae_jax.runs.choices.likelihoods import LIKELIHOODS as LIKELIHOODS
from vae_jax.runs.choices.networks import NETWORKS as NETWORKS
from vae_jax.runs.choices.networks import Shapes as Shapes
from vae_jax.runs.choices.objectives import OBJECTIVES as OBJECTIVES
from vae_jax.runs.choices.objectives import ON_IMAGES as ON_IMAGES
from vae_jax.runs.choices.objectives import WEIGHTED as WEIGHTED
from vae_jax.runs.choices.objectives import WEIGHTS as WEIGHTS
from vae_jax.runs.choices.objectives import Facts as Facts
from vae_jax.runs.choices.objectives import build_objective as build_objective
from vae_jax.runs.choices.optimizers import OPTIMIZERS as OPTIMIZERS
from vae_jax.runs.choices.optimizers import SCHEDULES as SCHEDULES
from vae_jax.runs.choices.optimizers import Optimizer as Optimizer
from vae_jax.runs.choices.optimizers import make_optimizer as make_optimizer
from vae_jax.runs.choices.posteriors import POSTERIORS as POSTERIORS
from vae_jax.runs.choices.priors import PRIORS as PRIORS
from vae_jax.runs.choices.priors import StartingImages as StartingImages
from vae_jax.runs.choices.quantizers import QUANTIZERS as QUANTIZERS
