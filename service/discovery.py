"""Finds the verticals: every folder in `verticals/` that defines `VERTICAL`. Ignores what they do."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator

import verticals
from verticals.contract import Vertical


class BrokenVertical(ImportError):
    """A folder in `verticals/` does not obey the contract."""


def _folders(package: str, path: list[str]) -> Iterator[str]:
    return (f"{package}.{module.name}" for module in pkgutil.iter_modules(path) if module.ispkg)


def discover(package: str = "verticals", path: list[str] | None = None) -> dict[str, Vertical]:
    """Every vertical by name, in alphabetical order.

    Raises:
        BrokenVertical: a folder's `__init__` has no `VERTICAL`, or its name or operations contradict the contract.
    """
    found: dict[str, Vertical] = {}
    for module_name in sorted(_folders(package, list(path or verticals.__path__))):
        vertical = getattr(importlib.import_module(module_name), "VERTICAL", None)
        if not isinstance(vertical, Vertical):
            raise BrokenVertical(f"{module_name}: __init__ must define VERTICAL, a verticals.contract.Vertical")
        if vertical.name != module_name.rpartition(".")[2]:
            raise BrokenVertical(f"{module_name}: VERTICAL.name must be the folder's name (got {vertical.name!r})")
        names = [operation.name for operation in vertical.operations]
        if len(names) != len(set(names)):
            raise BrokenVertical(f"{module_name}: operation names must differ (got {names})")
        found[vertical.name] = vertical
    return found


def discover_tables() -> None:
    """Import every vertical's `tables` module, so that its tables are on the shared metadata."""
    for module_name in _folders("verticals", list(verticals.__path__)):
        if importlib.util.find_spec(f"{module_name}.tables"):
            importlib.import_module(f"{module_name}.tables")
