"""A recorded decision made again: what a vertical is given for it, and what it answers. Ignores how it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import ModelRegistry

Verdict = Literal["exact", "unchanged", "differs", "other input", "input needed", "not replayable"]


@dataclass(frozen=True)
class Kept:
    """What a replay may read: no model that costs a start, and nothing that could be written."""

    tenant: str
    registry: ModelRegistry
    sessions: sessionmaker[Session]


@dataclass(frozen=True)
class Replayed:
    """What came of it.

    Attributes:
        verdict: `exact`: made again, and equal to the bit. `unchanged`: what the entry names is still what it was; not
            all of it was made again. `differs`: see `differences`. `other input`: the input that was given has another
            fingerprint. `input needed`: the input is not kept, and must be given. `not replayable`: see `said`.
        said: What was made again, what was only compared, and what was not.
        versions: Of the models, policies and programs that were used.
        differences: (what, as recorded, as it is now).
    """

    verdict: Verdict
    said: str
    versions: Mapping[str, str] = field(default_factory=dict)
    differences: tuple[tuple[str, Any, Any], ...] = ()

    @classmethod
    def compared(
        cls, made: Verdict, said: str, pairs: Mapping[str, tuple[Any, Any]], versions: Mapping[str, str]
    ) -> Replayed:
        """`made` if every (recorded, now) of `pairs` is equal, else `differs`."""
        unlike = tuple((name, then, now) for name, (then, now) in pairs.items() if then != now)
        return cls("differs" if unlike else made, said, versions, unlike)


Replay = Callable[[Kept, Mapping[str, Any], Mapping[str, Any] | None], Replayed]
"""(what is kept, the entry, its input given again or None) -> what came of it."""
