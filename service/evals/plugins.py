"""Suites of one's own: Python files in a folder, and packages with an entry point. Ignores what they measure.

A plug-in is a function `evals(call)` that gives suites; `call(vertical, operation, fields)` asks one operation, in this
process or of a live API, and gives its answer (a list, where it streams). docs/evaluation.md holds an example.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from verticals.contract import InvalidInput, Suite

GROUP = "trivium.evals"
FUNCTION = "evals"
MAX_DOMAIN = 64  # characters, as the tables have it
Call = Callable[[str, str, Mapping[str, Any]], Any]
Load = Callable[[], Callable[[Call], Sequence[Suite]]]


def find_plugins(folder: Path | None) -> dict[str, Load]:
    """What loads each plug-in, by its domain: "returns.py" of the folder, "package:name" of an entry point.

    Nothing of them is imported yet. A folder that is not there is a plug-in that fails.
    """
    found: dict[str, Load] = {
        f"{entry.dist.name if entry.dist else entry.module}:{entry.name}"[:MAX_DOMAIN]: partial(_load_entry, entry)
        for entry in entry_points(group=GROUP)
    }
    if folder is not None and not folder.is_dir():
        return found | {folder.name: partial(_missing, folder)}
    files = sorted(folder.glob("[!_.]*.py")) if folder else []
    return found | {file.name[:MAX_DOMAIN]: partial(_load_file, file) for file in files}


def plugin_suites(load: Load, call: Call) -> Sequence[Suite]:
    """The plug-in's suites.

    Raises:
        InvalidInput: it gives something else. Whatever else it raises comes through.
    """
    suites = load()(call)
    for suite in suites:
        if not isinstance(suite, Suite):
            raise InvalidInput("must give verticals.contract.Suite", field=FUNCTION, value=type(suite).__name__)
    return suites


def _load_entry(entry: EntryPoint) -> Callable[[Call], Sequence[Suite]]:
    return _function(entry.load(), entry.value)


def _load_file(file: Path) -> Callable[[Call], Sequence[Suite]]:
    spec = importlib.util.spec_from_file_location(f"trivium_evals_{file.stem}", file)
    assert spec is not None  # a name that ends in .py has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise InvalidInput(f"is no Python in line {error.lineno}", field=file.name) from None
    return _function(getattr(module, FUNCTION, None), file.name)


def _missing(folder: Path) -> Callable[[Call], Sequence[Suite]]:
    raise InvalidInput("must be a folder", field="TRIVIUM_EVALS", value=folder.name, remedy="Make it, or name another.")


def _function(found: Any, where: str) -> Callable[[Call], Sequence[Suite]]:
    if not callable(found):
        raise InvalidInput(f"must define a function {FUNCTION}(call)", field=where)
    function: Callable[[Call], Sequence[Suite]] = found
    return function
