"""Flags made from dataclasses of settings and options, and their defaults in `--help`. Nothing here imports JAX."""

from __future__ import annotations

import dataclasses
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

_NAMES = {int: "INT", float: "FLOAT", str: "STR"}


def flags_of(settings: Any) -> Any:
    """Object that holds the settings by group, as `--help` shows them."""
    groups: list[Any] = [group for group in reversed(type(settings).__mro__) if "title" in vars(group)]
    fields = []
    for group in groups:
        values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(group)}
        shown = with_plain_defaults(group, group.__doc__, **values)
        title = tyro.conf.arg(name=vars(group)["title"])
        fields.append((group.__name__.lower(), Annotated[shown, title], dataclasses.field(default=shown())))
    return dataclasses.make_dataclass(type(settings).__name__, fields, frozen=True)()


def with_plain_defaults(options: type, description: str | None, **defaults: Any) -> type:
    """Dataclass whose help shows each default except None, which the text of the field explains.

    Args:
      options: a dataclass.
      description: text of the help.
      defaults: values of fields that replace their defaults.
    """
    hints = get_type_hints(options, include_extras=True)
    fields = []
    for field in dataclasses.fields(options):
        kind, *annotations = (
            get_args(hints[field.name]) if get_origin(hints[field.name]) is Annotated else (hints[field.name],)
        )
        default = defaults.get(field.name, field.default)
        shown = tyro.conf.arg(help_behavior_hint=_default, metavar=_metavar(kind, default))
        # The field's own annotation comes later and takes precedence.
        annotated = Annotated[(kind, shown, *annotations)]  # type: ignore[valid-type]  # a type that is made at run time
        fields.append((field.name, annotated, dataclasses.field(default=default, kw_only=field.kw_only)))
    namespace = {"__doc__": description, "__module__": options.__module__}
    return dataclasses.make_dataclass(options.__name__, fields, bases=(options,), namespace=namespace, frozen=True)


def _default(default: str) -> str:
    return "" if default in ("None", "") else "(default: " + default.strip("[']") + ")"


def _metavar(kind: Any, default: Any) -> str | None:
    """Name for the value of a flag that may be None; None for all other flags, which tyro names well.

    A default of None is not mentioned: it means that the flag is left out.
    """
    if get_origin(kind) not in (Union, types.UnionType):
        return None
    (some,) = (one for one in get_args(kind) if one is not types.NoneType)
    name = f"{{{','.join(get_args(some))}}}" if get_origin(some) is Literal else _NAMES.get(some)
    return name if name is None or default is None else f"{name}|None"
