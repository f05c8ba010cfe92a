"""`vae-jax train RECIPE`: the experiments by their name, with all their flags."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import tyro

from vae_jax.commands.options import Train
from vae_jax.experiment.command_line import main as train_method
from vae_jax.experiment.disentanglement.command_line import main as train_disentangled
from vae_jax.experiment.disentanglement.settings import DESCRIPTION, EXPERIMENT, DisentangleSettings
from vae_jax.experiment.recipes import RECIPES

_DESCRIPTIONS = {name: method.description for name, method in RECIPES.items()} | {EXPERIMENT: DESCRIPTION}

if TYPE_CHECKING:
    Recipe = Any
else:
    Recipe = tyro.extras.subcommand_type_from_defaults(
        {name: method.defaults for name, method in RECIPES.items()} | {EXPERIMENT: DisentangleSettings()},
        _DESCRIPTIONS,
        sort_subcommands=False,
    )


@dataclasses.dataclass(frozen=True)
class TrainByRecipe(Train):
    __doc__ = Train.__doc__

    recipe: Recipe


def is_recipe(words: list[str]) -> bool:
    """Whether the command line is `train RECIPE ...`, of a recipe that there is."""
    return words[:1] == ["train"] and words[1:2] != [] and words[1] in _DESCRIPTIONS


def train(words: list[str]) -> None:
    """Runs the command line, which `is_recipe`, as the experiment's own script does."""
    name, arguments = words[1], words[2:]
    told: dict[str, Any] = {"prog": f"vae-jax train {name}", "arguments": arguments}
    if name == EXPERIMENT:
        train_disentangled(_DESCRIPTIONS[name], **told)
    else:
        train_method(RECIPES[name], _DESCRIPTIONS[name], **told)
