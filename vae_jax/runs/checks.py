"""Checks of settings: numbers, choices that do not go together, and flags that would not be used."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from vae_jax.data._kinds import kind_of
from vae_jax.runs.choices import OBJECTIVES, alternatives
from vae_jax.runs.choices.optimizers import check_optimizer
from vae_jax.runs.limits import check_numbers, flag_of
from vae_jax.runs.recipe import Recipe
from vae_jax.runs.settings import Loss


def check_settings(recipe: Recipe, settings: Any) -> None:
    """Checks all settings that can be checked without data.

    Raises:
      ValueError: a number is out of range, two choices do not go together, or a flag would not be used.
    """
    check_numbers(settings)
    if settings.seed > 2**32 - 1 - settings.seeds:
        raise ValueError(f"--seed must be between 0 and 2**32 - {settings.seeds + 1}, got {settings.seed}")
    check_optimizer(settings)
    check_choices(recipe, settings)
    if not settings.resume:  # the settings of a run were checked when it was begun
        if settings.accept_versions:
            raise ValueError("--accept-versions requires --resume: leave it out, or give --resume")
        _check_used(recipe, settings)
    recipe.check(settings)


def check_saved(recipe: Recipe, settings: Any, place: str) -> None:
    """Checks the choices of settings that were read from a file, which may come from anyone.

    Args:
      settings: settings whose fields have the right types.
      place: file that holds the settings, for the message.

    Raises:
      ValueError: a choice is unknown to the recipe or is "auto", or two choices do not go together.
    """
    for axis in recipe.axes:
        if getattr(settings, axis.setting) == "auto":
            raise ValueError(f"{place}: {axis.setting} must be the choice that the run was trained with, got auto")
    try:
        check_optimizer(settings)
        check_choices(recipe, settings)
        recipe.check(settings)
    except ValueError as error:
        raise ValueError(f"{place}: {_with_fields(str(error), settings)}") from error


def _with_fields(message: str, settings: Any) -> str:
    """Replaces the flags in a message by the names of their settings, which are the fields of config.json."""
    fields = {flag_of(field.name): field.name for field in dataclasses.fields(settings)}
    return re.sub(r"--([a-z][a-z-]*)", lambda flag: fields.get(flag[1], flag[0]), message)


def check_data_dir(data: str, data_dir: str | None) -> None:
    """Raises ValueError if a folder of TFDS datasets is given for data that is not a TFDS dataset."""
    if data_dir is not None and kind_of(data) != "tfds":
        raise ValueError(f"--data-dir is for TFDS datasets, and {data} is not one: leave it out")


def check_choices(recipe: Recipe, settings: Any) -> None:
    """Raises ValueError if a choice is unknown to the recipe, or two do not go together; "auto" is accepted."""
    for axis in recipe.axes:
        value = getattr(settings, axis.setting)
        if value not in axis.names and value != "auto":
            names = alternatives(axis.names)
            raise ValueError(f"--{flag_of(axis.setting)} must be {names} for {recipe.name}, got {value}")
    _check_together(recipe, settings)


def _check_together(recipe: Recipe, settings: Any) -> None:
    by_setting = {axis.setting: axis for axis in recipe.axes}
    named = {name: axis.of(settings) for name, axis in by_setting.items() if getattr(settings, name) != "auto"}
    conflicts = [
        (one, other)
        for one, choice in named.items()
        for other, refused in choice.not_with.items()
        if other in named and named[other].name in refused
    ]
    if conflicts:
        # The message names the pair with the most choices of the user, which the user can change.
        chosen = lambda name: getattr(settings, name) != getattr(recipe.defaults, name)
        one, other = max(conflicts, key=lambda pair: sum(map(chosen, pair)))
        goes_with = lambda choice, value: value not in choice.not_with.get(other, ())
        own = [choice.name for choice in by_setting[one] if goes_with(choice, named[other].name)]
        others = [choice.name for choice in by_setting[other] if goes_with(named[one], choice.name)]
        ways = [f"--{flag_of(name)} {alternatives(names)}" for name, names in ((other, others), (one, own)) if names]
        raise ValueError(
            f"--{flag_of(one)} {named[one].name} does not go with --{flag_of(other)} {named[other].name}: give "
            f"{', or '.join(ways)}"
        )
    if isinstance(settings, Loss) and settings.kl_warm_up and not OBJECTIVES.of(settings).warms_up:
        names = alternatives([choice.name for choice in OBJECTIVES if choice.warms_up])
        raise ValueError(
            f"--kl-warm-up {settings.kl_warm_up} does not go with --objective {settings.objective}: leave it out, or "
            f"give --objective {names}"
        )


def _check_used(recipe: Recipe, settings: Any) -> None:
    chosen = [axis.of(settings) for axis in recipe.axes if getattr(settings, axis.setting) != "auto"]
    used = {name for choice in chosen for name in choice.flags}
    for axis in recipe.axes:
        for name in dict.fromkeys(name for choice in axis for name in choice.flags):
            if name in used or getattr(settings, name, None) == getattr(recipe.defaults, name, None):
                continue
            users, chooser = alternatives([choice.name for choice in axis if name in choice.flags]), axis.setting
            raise ValueError(
                f"--{flag_of(name)} requires --{flag_of(chooser)} {users}, but --{flag_of(chooser)} is "
                f"{getattr(settings, chooser)}: leave --{flag_of(name)} out, or change --{flag_of(chooser)}"
            )


def with_defaults(recipe: Recipe, settings: Any) -> Any:
    """Settings whose flags of None are replaced by the defaults of their choices."""
    filled = {
        name: default
        for axis in recipe.axes
        if getattr(settings, axis.setting) != "auto"
        for name, default in axis.of(settings).flags.items()
        if getattr(settings, name, 0) is None
    }
    return dataclasses.replace(settings, **filled)
