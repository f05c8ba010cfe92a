"""Checks of the choices of a run: those that go together, and the flags that they use."""

from __future__ import annotations

import dataclasses
from typing import Any

from vae_jax.runs.choices import OBJECTIVES
from vae_jax.runs.choices.optimizers import check_optimizer
from vae_jax.runs.limits import check_numbers, flag_of
from vae_jax.runs.recipe import Recipe
from vae_jax.runs.settings import Loss


def check_settings(recipe: Recipe, settings: Any) -> None:
    """Checks all settings that can be checked without data.

    Raises:
      ValueError: a number is out of range, two choices do not go together, or a flag is of a choice that was not made.
    """
    check_numbers(settings)
    if settings.seed > 2**32 - 1 - settings.seeds:
        raise ValueError(f"--seed must be between 0 and 2**32 - {settings.seeds + 1}, got {settings.seed}")
    check_optimizer(settings)
    check_choices(recipe, settings)
    if not settings.resume:  # the settings of a run were checked when it was begun
        _check_used(recipe, settings)
    recipe.check(settings)


def check_saved(recipe: Recipe, settings: Any, place: str) -> None:
    """Checks the choices of settings out of a folder, which may be from elsewhere.

    Args:
      settings: all of their fields have the right types.
      place: file that holds the settings, for the message.

    Raises:
      ValueError: a choice is not one of the recipe, or two do not go together, or one was left to the data.
    """
    open_ones = [axis.setting for axis in recipe.axes if getattr(settings, axis.setting) == "auto"]
    if open_ones:
        raise ValueError(f"{place}: {open_ones[0]} must be what the run was trained with, got 'auto'")
    try:
        check_optimizer(settings)
        check_choices(recipe, settings)
        recipe.check(settings)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def check_choices(recipe: Recipe, settings: Any) -> None:
    """Raises ValueError if a choice is not one of the recipe, or two do not go together; those of "auto" pass."""
    for axis in recipe.axes:
        value = getattr(settings, axis.setting)
        if value not in axis.names and value != "auto":
            raise ValueError(
                f"--{flag_of(axis.setting)} {value} does not go with {recipe.name}: give one of {', '.join(axis.names)}"
            )
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
        # The user has to change what the user chose: the pair with the most of that is named.
        chosen = lambda name: getattr(settings, name) != getattr(recipe.defaults, name)
        one, other = max(conflicts, key=lambda pair: sum(map(chosen, pair)))
        goes_with = lambda choice, value: value not in choice.not_with.get(other, ())
        own = [choice.name for choice in by_setting[one] if goes_with(choice, named[other].name)]
        others = [choice.name for choice in by_setting[other] if goes_with(named[one], choice.name)]
        ways = [f"--{flag_of(name)} {' or '.join(names)}" for name, names in ((other, others), (one, own)) if names]
        raise ValueError(
            f"--{flag_of(one)} {named[one].name} does not go with --{flag_of(other)} {named[other].name}: give "
            f"{', or '.join(ways)}"
        )
    if isinstance(settings, Loss) and settings.kl_warm_up and not OBJECTIVES.of(settings).warms_up:
        names = ", ".join(choice.name for choice in OBJECTIVES if choice.warms_up)
        raise ValueError(
            f"--kl-warm-up {settings.kl_warm_up} does not go with --objective {settings.objective}: give --objective "
            f"{names}, or leave --kl-warm-up out"
        )


def _check_used(recipe: Recipe, settings: Any) -> None:
    chosen = [axis.of(settings) for axis in recipe.axes if getattr(settings, axis.setting) != "auto"]
    used = {name for choice in chosen for name in choice.flags}
    for axis in recipe.axes:
        for name in dict.fromkeys(name for choice in axis for name in choice.flags):
            if name in used or getattr(settings, name, None) == getattr(recipe.defaults, name, None):
                continue
            users = [choice.name for choice in axis if name in choice.flags]
            raise ValueError(
                f"--{flag_of(name)} is a flag of --{flag_of(axis.setting)} {', '.join(users)}, and "
                f"--{flag_of(axis.setting)} is {getattr(settings, axis.setting)}: leave it out, or give one of those"
            )


def with_defaults(recipe: Recipe, settings: Any) -> Any:
    """The settings with the defaults of their choices in place of flags that are None."""
    filled = {
        name: default
        for axis in recipe.axes
        if getattr(settings, axis.setting) != "auto"
        for name, default in axis.of(settings).flags.items()
        if getattr(settings, name, 0) is None
    }
    return dataclasses.replace(settings, **filled)
