"""The operations of the portfolio: keep outcomes, read decisions of a time. Computes no figure itself."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session, sessionmaker

from retrieval.catalog import batches
from verticals.contract import Context, Decision, InvalidInput
from verticals.finance.data import DATA_NOTE
from verticals.finance.manual.tables import FinanceOverride
from verticals.finance.portfolio import counts, summary
from verticals.finance.portfolio.schemas import (
    MAX_DECISIONS,
    Outcome,
    OutcomesRequest,
    OutcomesResponse,
    OverrideRow,
    PortfolioRequest,
    PortfolioResponse,
    Refused,
)
from verticals.finance.portfolio.tables import FinanceOutcome
from verticals.finance.scoring import Models
from verticals.finance.tables import FinanceDecision
from verticals.undisturbed import see_one_state

WINDOW = timedelta(days=365)


class Portfolio:
    """`models`: what serves the caller, for the sample that scores are compared with."""

    def __init__(self, models: Callable[[Context], Models], sessions: sessionmaker[Session]) -> None:
        self._models, self._sessions = models, sessions

    def record_outcomes(self, request: OutcomesRequest, context: Context) -> OutcomesResponse:
        """Keep the outcomes of known applications in one transaction with their audit entry; refuse the others."""
        now = datetime.now(UTC)
        with self._sessions.begin() as session:
            decided = self._first_decided(session, context, [one.application_id for one in request.outcomes])
            refused = list(_refuse(request.outcomes, decided, today=now.date()))
            bad = {one.index for one in refused}
            kept = [one for i, one in enumerate(request.outcomes) if i not in bad]
            replaced = _replace(session, context, kept, now=now)
            if kept:
                context.record(_audit(kept, replaced=replaced), session=session)
        return OutcomesResponse(kept=len(kept), replaced=replaced, refused=refused)

    def portfolio(self, request: PortfolioRequest, context: Context) -> PortfolioResponse:
        """Months, scores against the development sample, migration and vintages.

        Raises:
            InvalidInput: the days are in the wrong order, or hold too many decisions.
        """
        last = request.last or datetime.now(UTC).date()
        first = request.first or last - WINDOW
        if first > last:
            raise InvalidInput("must not be after `last`", field="first", value=str(first), remedy="Swap the two.")
        period = _period(context, first, last)
        with self._sessions() as session:
            see_one_state(session)
            if (count := counts.count(session, period)) > MAX_DECISIONS:
                raise InvalidInput(
                    f"may hold {MAX_DECISIONS:,} decisions", field="first", value=count, remedy="Choose a shorter time."
                )
            decided, moves = counts.decided(session, period), counts.moves(session, period)
            granted, overrides = counts.granted(session, period), _overrides(session, period, summary.counts(decided))
        reference = np.rint(np.array(self._models(context).validation["out_of_fold"]["points"]))
        points = summary.points_of(decided)
        return PortfolioResponse(
            first=first,
            last=last,
            count=len(points),
            months=summary.months(decided),
            bins=summary.points_bins(points, reference),
            shift=summary.shift(points, reference) if len(points) else None,
            moves=summary.moves(moves),
            vintages=summary.vintages(granted),
            overrides=overrides,
            note=f"Compared with the development sample. {DATA_NOTE}",
        )

    def overrides(self, context: Context) -> list[OverrideRow]:
        """Manual decisions of the last twelve months, by direction."""
        today = datetime.now(UTC).date()
        period = _period(context, today - WINDOW, today)
        with self._sessions() as session:
            see_one_state(session)
            return _overrides(session, period, counts.by_decision(session, period))

    def _first_decided(self, session: Session, context: Context, ids: list[str]) -> dict[str, date]:
        """The day of each application's first decision; those never scored here are left out."""
        table = FinanceDecision.__table__.c
        found: dict[str, date] = {}
        for part in batches(ids):
            mine = (table.tenant == context.tenant, table.application_id.in_(part))
            query = select(table.application_id, func.min(table.created_at)).where(*mine).group_by(table.application_id)
            found |= {name: at.date() for name, at in session.execute(query)}
        return found


def _period(context: Context, first: date, last: date) -> counts.Period:
    """From the first day's beginning to the last one's end, in UTC."""
    start, end = (datetime.combine(day, time.min, UTC) for day in (first, last + timedelta(days=1)))
    return counts.Period(context.tenant, start, end)


def _overrides(session: Session, period: counts.Period, by_decision: Mapping[str, int]) -> list[OverrideRow]:
    made = _manual(session, period)
    return summary.overrides(by_decision, made, _outcomes(session, period.tenant, [one.application_id for one in made]))


def _manual(session: Session, period: counts.Period) -> list[summary.Manual]:
    """What people decided on the scorings of a time, one each: the newest in force."""
    row = FinanceOverride
    mine = (row.tenant == period.tenant, row.state == "in_force", period.holds())
    made = select(row.scoring_id, row.application_id, row.automatic, row.decision, row.reason)
    rows = made.join(FinanceDecision, FinanceDecision.id == row.scoring_id).where(*mine)
    in_order = rows.order_by(row.decided_at, row.override_id)
    return list({found.scoring_id: summary.Manual(*found) for found in session.execute(in_order)}.values())


def _outcomes(session: Session, tenant: str, ids: list[str]) -> dict[str, tuple[bool, date]]:
    """How these applications turned out, as far as it is known."""
    found: dict[str, tuple[bool, date]] = {}
    for part in batches(sorted(set(ids))):
        mine = (FinanceOutcome.tenant == tenant, FinanceOutcome.application_id.in_(part))
        query = select(FinanceOutcome.application_id, FinanceOutcome.defaulted, FinanceOutcome.observed_on).where(*mine)
        found |= {name: (defaulted, when) for name, defaulted, when in session.execute(query)}
    return found


def _refuse(outcomes: list[Outcome], decided: dict[str, date], *, today: date) -> Iterator[Refused]:
    seen: set[str] = set()
    for i, one in enumerate(outcomes):
        name, rule = one.application_id, None
        if name in seen:
            rule = "application_id: named twice in the request", "Send one outcome an application."
        elif name not in decided:
            rule = "application_id: was never scored here", "Send the reference under which it was scored."
        elif one.observed_on > today:
            rule = f"observed_on: must not be in the future (got {one.observed_on})", "Send it when it has happened."
        elif one.observed_on < decided[name]:
            rule = f"observed_on: before the decision of {decided[name]} (got {one.observed_on})", "Correct the day."
        seen.add(name)
        if rule is not None:
            yield Refused(index=i, application_id=name, rule=rule[0], remedy=rule[1])


def _replace(session: Session, context: Context, kept: list[Outcome], *, now: datetime) -> int:
    """Write the outcomes; how many replaced another."""
    table, replaced = FinanceOutcome.__table__, 0
    for part in batches(kept):
        ids = [one.application_id for one in part]
        old = delete(table).where(table.c.tenant == context.tenant, table.c.application_id.in_(ids))  # type: ignore[arg-type]
        replaced += session.execute(old).rowcount  # type: ignore[attr-defined]
        same = {"tenant": context.tenant, "actor": context.actor, "created_at": now}
        session.execute(insert(FinanceOutcome), [same | one.model_dump() for one in part])
    return replaced


def _audit(kept: list[Outcome], *, replaced: int) -> Decision:
    content = "\n".join(one.model_dump_json() for one in kept)
    return Decision(
        kind="finance.outcomes",
        subject=f"outcomes-{uuid.uuid4().hex}",
        input_sha256=hashlib.sha256(content.encode()).hexdigest(),
        outcome={"kept": len(kept), "defaults": sum(one.defaulted for one in kept), "replaced": replaced},
        model_version="-",
    )
