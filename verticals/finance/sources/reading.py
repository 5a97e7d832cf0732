"""What a score reads of a customer's sources: which count, for how much, and why another does not. Ignores storage.

A term learned from simulated outcomes counts for simulated customers alone: for anyone else it stays in the shadow,
whatever the policy says, because it holds no evidence about real people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from verticals.finance.fraud.schemas import FraudSignal
from verticals.finance.sources.model import SourceModel
from verticals.finance.sources.names import SOURCES, Mode, Source

State = Literal["used", "shadow", "missing", "off"]
Because = Literal["", "nothing_kept", "policy", "synthetic_model", "no_model"]


@dataclass(frozen=True)
class Kept:
    """A cached term before the gate, and what it was made of."""

    bounded: float
    evidence: str
    as_of: datetime
    aspects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """One source of one application.

    Attributes:
        term: Log odds that it adds; 0.0 unless used.
        shadow: Log odds that it would add beside all that is there; None unless in the shadow.
        bound: Log odds; None without a model.
    """

    source: Source
    state: State
    because: Because
    term: float
    shadow: float | None
    bound: float | None
    kept: Kept | None


@dataclass(frozen=True)
class Reading:
    """All sources of one application, in the order of `SOURCES`, and what is suspected of its customer."""

    parts: tuple[Part, ...]
    model_version: str | None
    is_synthetic_model: bool
    is_simulated: bool  # the customer
    fraud: FraudSignal | None = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why a person must decide, whatever the score."""
        return (self.fraud.doubt,) if self.fraud else ()

    @property
    def used(self) -> tuple[Part, ...]:
        """Those that count, in order: their terms are added one after the other."""
        return tuple(part for part in self.parts if part.state == "used")

    def add_to(self, logit: float) -> float:
        """The table's log odds with the terms; without one the same number to the bit."""
        for part in self.used:
            logit += part.term
        return logit

    def record(self) -> dict[str, Any]:
        """What the audit trail keeps: enough to make the decision again, whatever is kept of the customer then."""
        read = {
            part.source: {
                "state": part.state,
                "term": part.term if part.shadow is None else part.shadow,
                "bounded": part.kept.bounded,
                "evidence": part.kept.evidence,
                "as_of": part.kept.as_of.isoformat(),
            }
            for part in self.parts
            if part.kept is not None
        }
        suspected = {"fraud": asdict(self.fraud)} if self.fraud else {}
        return {"model_version": self.model_version, "simulated": self.is_simulated, "read": read} | suspected


def read_sources(
    model: SourceModel | None,
    modes: Mapping[Source, Mode],
    kept: Mapping[Source, Kept],
    *,
    is_simulated: bool,
    fraud: FraudSignal | None = None,
) -> Reading:
    """Decide which of the kept terms count.

    Args:
        model: In force; None: none is registered.
        modes: The policy's; a source that it does not name is off.
        kept: Terms by the model's version.
        fraud: What is suspected of the customer.
    """
    if model is None:
        nothing = tuple(Part(source, "missing", "no_model", 0.0, None, None, None) for source in SOURCES)
        return Reading(nothing, None, is_synthetic_model=False, is_simulated=is_simulated, fraud=fraud)
    may_count = is_simulated or not model.synthetic
    seen = {s: kept[s] for s in SOURCES if s in kept and modes.get(s, "off") != "off"}
    counting = {s: one.bounded for s, one in seen.items() if modes[s] == "use" and may_count}
    used = model.terms(counting)
    shadow = model.terms({s: one.bounded for s, one in seen.items()})
    parts = []
    for source in SOURCES:
        mode, bound = modes.get(source, "off"), model.bound(source)
        if mode == "off":
            parts.append(Part(source, "off", "policy", 0.0, None, bound, None))
        elif source not in seen:
            parts.append(Part(source, "missing", "nothing_kept", 0.0, None, bound, None))
        elif source in used:
            parts.append(Part(source, "used", "", used[source], None, bound, seen[source]))
        else:
            because: Because = "policy" if mode == "shadow" else "synthetic_model"
            parts.append(Part(source, "shadow", because, 0.0, shadow[source], bound, seen[source]))
    return Reading(tuple(parts), model.version, model.synthetic, is_simulated, fraud)


def recorded_kept(record: Mapping[str, Any]) -> dict[Source, Kept]:
    """The terms that a recorded decision read."""
    read: Mapping[Source, Mapping[str, Any]] = record["read"]
    return {
        source: Kept(one["bounded"], one["evidence"], datetime.fromisoformat(one["as_of"]))
        for source, one in read.items()
    }


def recorded_fraud(record: Mapping[str, Any]) -> FraudSignal | None:
    """What was suspected when a recorded decision was made."""
    return FraudSignal(**record["fraud"]) if "fraud" in record else None
