"""Dataclasses of settings and options as flags, and how `--help` shows them. Nothing here imports JAX."""

from __future__ import annotations

import dataclasses
import types
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

_NAMES = {int: "INT", float: "FLOAT", str: "STR"}


def flags_of(settings: Any) -> Any:
    """The settings as an object with a part for each of their groups, which `--help` shows one by one."""
    groups: list[Any] = [group for group in reversed(type(settings).__mro__) if "title" in vars(group)]
    fields = []
    for group in groups:
        values = {each.name: getattr(settings, each.name) for each in dataclasses.fields(group)}
        shown = with_plain_defaults(group, **values)
        title = tyro.conf.arg(name=vars(group)["title"])
        fields.append((group.__name__.lower(), Annotated[shown, title], dataclasses.field(default=shown())))
    return dataclasses.make_dataclass(type(settings).__name__, fields, frozen=True)()


def with_plain_defaults(options: type, **defaults: Any) -> type:
    """The dataclass with a help that shows defaults, except None: the texts of such fields say in words what it means.

    Args:
      options: a dataclass.
      defaults: values of its fields in place of their defaults.
    """
    hints = get_type_hints(options, include_extras=True)
    fields = []
    for field in dataclasses.fields(options):
        kind, *annotations = (
            get_args(hints[field.name]) if get_origin(hints[field.name]) is Annotated else (hints[field.name],)
        )
        default = defaults.get(field.name, field.default)
        shown = tyro.conf.arg(
            help_behavior_hint=_default, metavar=_name_without_none(kind) if default is None else None
        )
        # An annotation of the field's own comes later, and wins.
        annotated = Annotated[(kind, shown, *annotations)]  # type: ignore[valid-type]  # mypy knows no type that is made at run time
        fields.append((field.name, annotated, dataclasses.field(default=default, kw_only=field.kw_only)))
    namespace = {"__doc__": options.__doc__, "__module__": options.__module__}
    return dataclasses.make_dataclass(options.__name__, fields, bases=(options,), namespace=namespace, frozen=True)


def _default(default: str) -> str:
    return "" if default in ("None", "") else "(default: " + default.strip("[']") + ")"


def _name_without_none(kind: Any) -> str | None:
    """Name for the value of a flag that may be None, as which it is left out; None if it is no such flag."""
    if not isinstance(kind, types.UnionType):
        return None
    (some,) = (each for each in get_args(kind) if each is not types.NoneType)
    return _NAMES.get(some)
