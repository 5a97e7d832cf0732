"""What a vertical's traffic looks like, for the service to test and to alarm: counts and feedback. Ignores tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from verticals.contract import Metric


@dataclass(frozen=True)
class Period:
    """The time that is watched, `start` to `end`, before it the one that it is held against, and whose traffic."""

    tenants: tuple[str, ...]
    reference_start: datetime
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Distribution:
    """Counts of what came in or went out, of all tenants together; `name` and `bins` are few, and of nobody's data.

    Attributes:
        bins: What is counted, in a natural order if there is one; `reference` and `now` have a count for each.
        against: What the reference is: "earlier" traffic, or the sample that a model was "developed" on.
    """

    name: str
    side: Literal["input", "output"]
    against: Literal["earlier", "developed"]
    bins: tuple[str, ...]
    reference: tuple[int, ...]
    now: tuple[int, ...]


@dataclass(frozen=True)
class Watch:
    """A vertical's traffic of a period, and what people's feedback says of it."""

    distributions: tuple[Distribution, ...] = ()
    feedback: tuple[Metric, ...] = ()
