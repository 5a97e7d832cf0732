"""Registered models whose versions are exchanged while a vertical answers. Ignores who decides that, and how.

A vertical names them in its `VERTICAL`; `service.rollouts` does the rest. They are read at `build`, from a registry
whose versions are fixed: another version is another build, beside the one that answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from verticals.contract import ModelRegistry

Said = Mapping[str, float | str | bool | None]  # what a model says of a request, by name


@dataclass(frozen=True)
class NamedModel:
    """A registered model.

    Attributes:
        name: In the registry.
        operation: Whose requests it reads.
    """

    name: str
    operation: str


@dataclass(frozen=True)
class LiveModel(NamedModel):
    """A model of a vertical.

    Attributes:
        open: Reads the registry's version and gives it as a function of a request that has no effect: each version
            must answer the examples before it serves, and one in shadow is asked beside the one that serves. None: it
            is sound, but cannot be asked without effect, and so has no shadow.
        examples: Requests that every version must answer; None: the operation's own examples.
    """

    open: Callable[[ModelRegistry], Callable[[Any], Said] | None]
    examples: Callable[[], Sequence[BaseModel]] | None = None
