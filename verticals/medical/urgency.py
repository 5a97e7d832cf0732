"""The worklist's order: one rule from finding, quality and age, in Python and in SQL from one table. Ignores pages.

The rule is ours and is not validated as triage: it orders what waits, it never hides a study.

| level | what |
|---|---|
| critical | a finding of `_LEVELS` with 4 is stated as present |
| urgent | one with 3 is present, or one with 4 uncertain; or the image is not diagnostic: it may have to be repeated |
| soon | any other finding is present, or one with 3 uncertain; or routine, and waiting for more than a day |
| routine | nothing of this is known, or any other finding is uncertain |
| done | signed |

A day's wait lifts routine to soon and soon to urgent. Within a level the oldest comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from sqlalchemy import ColumnElement, and_, case, literal

from verticals.medical.evidence import Presence
from verticals.medical.schemas import QualityVerdict, ReportState, Urgency
from verticals.medical.vocabulary import KINDS

LONG_WAIT = timedelta(hours=24)
NAMES: tuple[Urgency, ...] = get_args(Urgency)  # by level, 0 "done" to 4 "critical"
SIGNED = ("FINAL", "AMENDED")
_ROUTINE, _SOON, _URGENT = 1, 2, 3
# By what a delay of hours may cost; kinds that are not named: 2.
_LEVELS = {"pneumothorax": 4, "edema": 3, "consolidation": 3, "pneumonia": 3, "effusion": 3}


@dataclass(frozen=True)
class Stated:
    """One kind that the newest version states as present or uncertain, and whether a model found it."""

    kind: str
    presence: Presence
    is_by_model: bool


def finding_level(kind: str, presence: str) -> int:
    """The level of one stated finding."""
    level = _LEVELS.get(kind, _SOON)
    return {"present": level, "uncertain": max(level - 1, _ROUTINE)}.get(presence, 0)


def judge(
    state: ReportState, quality: QualityVerdict, stated: Sequence[Stated], *, received_at: datetime, now: datetime
) -> tuple[Urgency, str]:
    """The level by the rule above, and the reason for it in a sentence."""
    if state in SIGNED:
        return "done", "Signed."
    most = max(stated, key=lambda one: finding_level(one.kind, one.presence), default=None)
    level, reason = _ROUTINE, "Nothing urgent is known: first come, first read."
    if most is not None and (found := finding_level(most.kind, most.presence)) >= level:
        level, reason = found, _finding_reason(most)
    if quality == "reject" and level < _URGENT:
        level, reason = _URGENT, "The image is not diagnostic: it may have to be repeated."
    if now - received_at > LONG_WAIT and level < _URGENT:
        return NAMES[level + 1], f"{reason} Waiting for more than 24 hours."
    return NAMES[level], reason


def _finding_reason(most: Stated) -> str:
    name = KINDS[most.kind].english.capitalize()
    who = "a model" if most.is_by_model else "the reader"
    return f"{name}: {most.presence} according to {who}."


def finding_level_sql(kind: ColumnElement[str], presence: ColumnElement[str]) -> ColumnElement[int]:
    """`finding_level` of a row."""
    levels = [
        (and_(kind == name, presence == said), finding_level(name, said))
        for name in KINDS
        for said in ("present", "uncertain")
    ]
    return case(*levels, else_=0)


def level_sql(
    state: ColumnElement[str],
    quality: ColumnElement[str],
    found: ColumnElement[int],
    received_at: ColumnElement[datetime],
    *,
    now: datetime,
) -> ColumnElement[int]:
    """`judge` of a row as a number."""
    unread = case((and_(quality == "reject", found < _URGENT), _URGENT), (found > _ROUTINE, found), else_=_ROUTINE)
    waits = and_(received_at < literal(now - LONG_WAIT, type_=received_at.type), unread < _URGENT)
    return case((state.in_(SIGNED), 0), (waits, unread + 1), else_=unread)
