"""Lazy imports of the names of a package (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` for a package that imports its names on first use.

    Args:
      package: Name of the package, which is being imported.
      homes: For each module, the names that the package re-exports from it, separated by spaces. Names under the
        package itself are its submodules.
    """
    module_of = {name: module for module, names in homes.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        module = module_of[name]
        value = import_module(f"{package}.{name}") if module == package else getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)  # later lookups do not call this function
        return value

    def names() -> list[str]:
        dunder = [name for name in vars(sys.modules[package]) if name.startswith("__")]
        return sorted({*module_of, *dunder})

    return find, names
