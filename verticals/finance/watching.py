"""Points, decisions and fields of late against the development sample, and how often people decide otherwise.

Counts of all tenants together. Ignores whether a difference means anything: the service tests all verticals alike.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import get_args

import numpy as np
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from verticals.bootstrap import wilson_interval
from verticals.contract import Metric, Resources
from verticals.finance.inputs import FinanceInputs
from verticals.finance.manual.tables import FinanceOverride
from verticals.finance.reasons import bin_text
from verticals.finance.schemas import Decision
from verticals.finance.scorecard import Scorecard
from verticals.finance.scoring import SCORECARD
from verticals.finance.tables import FinanceDecision
from verticals.finance.validation.drift import NUM_BINS
from verticals.watched import Distribution, Period, Watch


def watch(resources: Resources, period: Period) -> Watch:
    """The period's decisions; nothing where no scorecard is registered."""
    found = resources.registry.load(SCORECARD)
    if found is None:
        return Watch()
    card, files = found
    scorecard = Scorecard.from_json(files["scorecard.json"].read_bytes())
    sample = json.loads(files["validation.json"].read_bytes())["out_of_fold"]["points"]
    with resources.sessions() as session:
        outputs = (_points(session, sample, period), _decisions(session, period))
        inputs = _fields(session, scorecard, f"{card.name}@{card.version}", period)
        return Watch((*outputs, *inputs), _overrides(session, period))


def _points(session: Session, sample: list[float], period: Period) -> Distribution:
    """In tenths of the development sample; tied points stay in one bin."""
    reference = np.rint(np.array(sample))
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
    row = FinanceDecision
    rows = session.execute(
        select(row.points, func.count()).where(*_made(period, period.start, period.end)).group_by(row.points)
    )
    found = {one[0]: one[1] for one in rows}
    size, now = len(edges) + 1, np.zeros(len(edges) + 1, np.int64)
    np.add.at(now, np.searchsorted(edges, list(found)), list(found.values()))
    before = np.bincount(np.searchsorted(edges, reference), minlength=size)
    names = [f"up to {edge:g}" for edge in edges] + [f"above {edges[-1]:g}"]
    return Distribution("points", "output", "developed", tuple(names), tuple(before.tolist()), tuple(now.tolist()))


def _decisions(session: Session, period: Period) -> Distribution:
    names, row = get_args(Decision), FinanceDecision
    counted = []
    for times in ((period.reference_start, period.start), (period.start, period.end)):
        rows = session.execute(select(row.decision, func.count()).where(*_made(period, *times)).group_by(row.decision))
        counted.append({one[0]: one[1] for one in rows})
    before, now = (tuple(found.get(name, 0) for name in names) for found in counted)
    return Distribution("decision", "output", "earlier", names, before, now)


def _fields(session: Session, scorecard: Scorecard, version: str, period: Period) -> list[Distribution]:
    """Each scored field by its bins; of other versions of the scorecard, whose bins differ, nothing is counted."""
    row, totals = FinanceInputs, dict[str, Counter[int]]()
    mine = (row.tenant.in_(period.tenants), row.created_at >= period.start, row.created_at < period.end)
    for counts in session.scalars(select(row.counts).where(*mine, row.model_version == version)):
        for name, found in counts.items():
            totals.setdefault(name, Counter()).update(dict(enumerate(found)))
    return [
        Distribution(
            f.name,
            "input",
            "developed",
            tuple(bin_text(f, i) for i in range(len(f.bins) + 1)),
            (*(b.count for b in f.bins), 0),
            tuple(totals.get(f.name, Counter())[i] for i in range(len(f.bins) + 1)),
        )
        for f in scorecard.features
    ]


def _overrides(session: Session, period: Period) -> tuple[Metric, ...]:
    """The share of scorings on which a person's other decision holds."""
    made, row = _made(period, period.start, period.end), FinanceOverride
    total = session.scalar(select(func.count()).select_from(FinanceDecision).where(*made)) or 0
    if not total:
        return ()
    held = select(func.count(row.scoring_id.distinct())).join(FinanceDecision, FinanceDecision.id == row.scoring_id)
    count = session.scalar(held.where(row.state == "in_force", *made)) or 0
    low, high = wilson_interval(count, total)
    return (Metric("overridden", count / total, low, high, total, higher_is_better=False),)


def _made(period: Period, start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    row = FinanceDecision
    return row.tenant.in_(period.tenants), row.created_at >= start, row.created_at < end
