"""Conversions of settings: to `config.json` and back, and to the command line that gives the same settings."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vae_jax.differences import as_json
from vae_jax.runs.checks import with_defaults
from vae_jax.runs.choices import OBJECTIVES, alternatives
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.limits import check_numbers, flag_of
from vae_jax.runs.recipe import Recipe
from vae_jax.runs.settings import PLACES


def run_config(recipe: Recipe, settings: Any) -> dict[str, Any]:
    """Content of `config.json`: all settings that the results depend on, without the paths of data and run."""
    fields = dataclasses.asdict(settings)
    return {"experiment": recipe.name} | {name: fields[name] for name in fields if name not in PLACES}


def settings_of_run(recipe: Recipe, places: Any, folder: RunFolder) -> Any:
    """Settings of the run in a folder.

    Args:
      recipe: recipe that the run must have.
      places: settings of the recipe's class, from which the paths of data and run are taken.

    Raises:
      ValueError: if the folder holds no run, a run of another recipe, or a configuration whose fields are not those of
        this version or have wrong types.
    """
    config = folder.config()
    check_experiment(recipe, config, folder)
    expected = set(run_config(recipe, places))
    given = upgraded(recipe, config) if folder.is_earlier() else config
    if others := set(given) ^ expected:
        raise ValueError(
            f"{folder} holds a run of another version of vae_jax (fields that differ: "
            f"{', '.join(sorted(others))}); use the version that made it"
        )
    config = {name: value for name, value in given.items() if name != "experiment"}
    settings = dataclasses.replace(places, **_typed(folder, config, type(places)))
    check_numbers(settings, f"{folder}: config.json")
    return settings


def check_experiment(recipe: Recipe, config: Mapping[str, Any], folder: RunFolder) -> None:
    """Raises ValueError if the configuration in the folder belongs to another recipe."""
    if (other := config.get("experiment")) != recipe.name:
        raise ValueError(f"{folder} holds a run of {other}, not of {recipe.name}: give the folder of another run")


# (recipe, field) of fields that earlier versions wrote and that had no effect.
_DROPPED = {("vq_vae", "network"), ("vq_vae", "hidden")}
_RENAMED_OBJECTIVES = {"tc": "beta_tc"}
# Field that holds the values of a weight, by the name of the weight.
GRIDS = {"beta": "betas", "gamma": "gammas", "lambda_": "lambdas"}


def upgraded(recipe: Recipe, config: Mapping[str, Any]) -> dict[str, Any]:
    """Brings a configuration that this or an earlier version wrote to this version.

    Fields that were added later get the recipe's defaults, which are what earlier versions did.
    """
    known = {name: value for name, value in config.items() if (recipe.name, name) not in _DROPPED}
    objective = known.get("objective")
    if "betas" in known and "gammas" not in known and isinstance(objective, str):
        # Earlier versions called every weight beta.
        known["objective"] = _RENAMED_OBJECTIVES.get(objective, objective)
        known |= {grid: [] for grid in GRIDS.values()} | {GRIDS[_weight_name(known["objective"])]: known["betas"]}
    return as_json(run_config(recipe, recipe.defaults)) | known


def _weight_name(objective: str) -> str:
    return (OBJECTIVES[objective].weight if objective in OBJECTIVES.names else None) or "beta"


def _typed(folder: RunFolder, config: Mapping[str, Any], settings: type) -> dict[str, Any]:
    """Fields of a settings dataclass, read from JSON; raises ValueError if one has another type than its field."""
    saved = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    kinds = get_type_hints(settings)
    for name, value in saved.items():
        if not _fits(value, kinds[name]):
            given = json.dumps(config[name], ensure_ascii=False)
            raise ValueError(f"{folder}: config.json: {name} must be {_described(kinds[name])}, got {given}")
    return saved


def _described(kind: Any) -> str:
    """Text for a type of JSON, such as "a whole number or null"."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_described, arguments))
    if origin is Literal:
        return alternatives(arguments)
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"a list of {count}{_described(arguments[0]).split(' ', 1)[1]}s"
    texts = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "null"}
    return texts.get(kind, kind.__name__)


def _fits(value: Any, kind: Any) -> bool:
    """Returns whether a JSON value fits the type of a field; types that JSON does not have accept every value."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in arguments)
    if origin is tuple and isinstance(value, tuple):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if origin is tuple:
        return False
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str, NoneType) else True


def title_of(recipe: Recipe, settings: Any) -> str:
    """Title of the recipe, with the choices of the method that differ from the recipe's defaults."""
    defaults = with_defaults(recipe, recipe.defaults)
    names = [name for name in ("objective", "posterior", "prior") if hasattr(settings, name)]
    changed = [
        f"{name} {getattr(settings, name)}" for name in names if getattr(settings, name) != getattr(defaults, name)
    ]
    return f"{recipe.title} ({', '.join(changed)})" if changed else recipe.title


def program_of(recipe: Recipe) -> list[str]:
    """Words of the command that trains the recipe: `vae-jax train`, or the script of the experiment."""
    return shlex.split(recipe.command or f"python -m experiments.{recipe.name}")


def to_finish(recipe: Recipe, path: Path) -> str:
    """Command line that continues the run in a folder."""
    return shlex.join([*program_of(recipe), "--run-dir", str(path), "--resume"])


def as_command(recipe: Recipe, settings: Any) -> str:
    """Command line that trains with these settings again, in a new folder."""
    words, defaults = program_of(recipe), with_defaults(recipe, recipe.defaults)
    for field in dataclasses.fields(settings):
        value, default = getattr(settings, field.name), getattr(defaults, field.name)
        if field.name not in PLACES and value != default:
            flag = flag_of(field.name)
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
                continue
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{flag}", *map(str, values)]
    return shlex.join(words)
