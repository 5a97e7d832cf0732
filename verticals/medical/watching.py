"""What is sent in, what models find and what readers change, against the time before. Ignores what it means.

Counts of all tenants together, of kinds and verdicts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from verticals.contract import Metric, Resources
from verticals.medical.drift import by_kind, count_read, rate
from verticals.medical.schemas import QualityVerdict
from verticals.medical.tables import MedicalStudy
from verticals.watched import Distribution, Period, Watch

Times = tuple[datetime, datetime]


def watch(resources: Resources, period: Period) -> Watch:
    """The period's studies."""
    before, now = (period.reference_start, period.start), (period.start, period.end)
    with resources.sessions() as session:
        kinds = by_kind(session, period.tenants, *now)
        distributions = (
            _verdicts(session, period, before, now),
            _modalities(session, period, before, now),
            _findings(session, period, before, now),
        )
    said, removed = sum(one[2] for one in kinds), sum(one[3] for one in kinds)
    found = rate(removed, said)
    if found.share is None or found.low is None or found.high is None:
        return Watch(distributions)
    removed_share = Metric("removed findings", found.share, found.low, found.high, said, higher_is_better=False)
    return Watch(distributions, (removed_share,))


def _verdicts(session: Session, period: Period, before: Times, now: Times) -> Distribution:
    names = get_args(QualityVerdict)
    counts = [_counted(session, MedicalStudy.quality_verdict, period, times) for times in (before, now)]
    return Distribution("image quality", "input", "earlier", names, *_rows(counts, names))


def _modalities(session: Session, period: Period, before: Times, now: Times) -> Distribution:
    counts = [_counted(session, MedicalStudy.modality, period, times) for times in (before, now)]
    names = tuple(sorted({*counts[0], *counts[1]}))
    return Distribution("modality", "input", "earlier", names, *_rows(counts, names))


def _findings(session: Session, period: Period, before: Times, now: Times) -> Distribution:
    """Kinds that models say are present, and the studies that were read: the share of each kind is of these."""
    counts = []
    for times in (before, now):
        found = {kind: number for kind, number, *_ in by_kind(session, period.tenants, *times)}
        counts.append(found | {"studies read": count_read(session, period.tenants, *times)})
    names = (*sorted({*counts[0], *counts[1]} - {"studies read"}), "studies read")
    return Distribution("findings", "output", "earlier", names, *_rows(counts, names))


def _counted(session: Session, what: Any, period: Period, times: Times) -> dict[str, int]:
    row, (start, end) = MedicalStudy, times
    mine = (row.tenant.in_(period.tenants), row.received_at >= start, row.received_at < end)
    return {found[0]: found[1] for found in session.execute(select(what, func.count()).where(*mine).group_by(what))}


def _rows(counts: list[dict[str, int]], names: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before, now = (tuple(found.get(name, 0) for name in names) for found in counts)
    return before, now
