"""Settings out of a run's config.json, each of the type that its field has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vae_jax.runs import RunFolder

# What a later version added, with the value that does what earlier ones did.
_BEFORE = {"size": None}


def saved_fields(
    folder: RunFolder, config: Mapping[str, Any], settings: type, expected: Iterable[str]
) -> dict[str, Any]:
    """The fields of a settings dataclass as the run's configuration has them.

    Args:
      folder: of the run, for messages.
      config: as config.json has it, without the name of the experiment.
      settings: the dataclass.
      expected: names of the fields that config.json holds.

    Raises:
      ValueError: where the fields are not this version's, or one holds what it cannot.
    """
    config = {name: value for name, value in _BEFORE.items() if name in set(expected)} | dict(config)
    if set(config) != set(expected):
        names = ", ".join(sorted(set(config) ^ set(expected)))
        raise ValueError(
            f"{folder.argument} {folder.path} holds a run of another version of vae_jax (fields that differ: {names}); "
            "use the version that made it"
        )
    saved = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    kinds = get_type_hints(settings)
    for name, value in saved.items():
        if not _fits(value, kinds[name]):
            kind = kinds[name].__name__ if isinstance(kinds[name], type) else str(kinds[name]).replace("typing.", "")
            raise ValueError(
                f"{folder.argument} {folder.path}: config.json must hold for {name} a value of the type "
                f"{kind}, got {config[name]!r}"
            )
    return saved


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is of a field's type; of types that JSON does not have, whatever it holds."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, arguments[0]) for item in value)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str, NoneType) else True
