"""Quality, finding rates and overrides over time, counted where the rows are. Ignores why something moved."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.orm import Session

from verticals.bootstrap import wilson_interval
from verticals.medical.reading_schemas import KindRates, QualityWeek, Rate, WatchResponse
from verticals.medical.statement_tables import MedicalStatement
from verticals.medical.tables import MedicalReportHead, MedicalReportVersion, MedicalStudy
from verticals.medical.urgency import SIGNED

_SAID = ("present", "uncertain")


def watch(session: Session, tenant: str, *, days: int, now: datetime) -> WatchResponse:
    """The last `days`, and the finding rates of as many days before."""
    start = now - timedelta(days=days)
    verdicts = _verdicts(session, tenant, start)
    read = count_read(session, [tenant], start, now)
    read_before = count_read(session, [tenant], start - timedelta(days=days), start)
    signed = count_read(session, [tenant], start, now, _is_signed())
    before = {kind: found for kind, found, *_ in by_kind(session, [tenant], start - timedelta(days=days), start)}
    kinds = []
    for kind, found, said, removed, added in by_kind(session, [tenant], start, now):
        now_rate, old_rate = rate(found, read), rate(before.get(kind, 0), read_before)
        kinds.append(
            KindRates(
                kind=kind,
                found=now_rate,
                found_before=old_rate,
                has_moved=_apart(now_rate, old_rate),
                removed=rate(removed, said),
                added=rate(added, signed - said),
            )
        )
    return WatchResponse(
        days=days,
        studies=sum(sum(week.verdicts.values()) for week in verdicts),
        read_by_model=read,
        signed=signed,
        weeks=verdicts,
        kinds=kinds,
        removed=_together([one.removed for one in kinds]),
        added=_together([one.added for one in kinds]),
    )


def rate(count: int, total: int) -> Rate:
    """The share with its interval."""
    if total == 0:
        return Rate(count=count, total=0, share=None, low=None, high=None)
    low, high = wilson_interval(count, total)
    return Rate(count=count, total=total, share=count / total, low=low, high=high)


def _together(rates: list[Rate]) -> Rate:
    return rate(sum(one.count for one in rates), sum(one.total for one in rates))


def _apart(one: Rate, other: Rate) -> bool:
    """Whether the intervals of both do not overlap."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low > other.high or one.high < other.low


def _verdicts(session: Session, tenant: str, start: datetime) -> list[QualityWeek]:
    study = MedicalStudy
    rows = session.execute(
        select(study.received_at, study.quality_verdict).where(study.tenant == tenant, study.received_at >= start)
    )
    weeks: defaultdict[date, Counter[Any]] = defaultdict(Counter)
    for received_at, verdict in rows:
        day = received_at.date()
        weeks[day - timedelta(days=day.weekday())][verdict] += 1
    return [QualityWeek(start=monday, verdicts=dict(weeks[monday])) for monday in sorted(weeks)]


def studies(tenants: Sequence[str], start: datetime, end: datetime) -> Select[Any]:
    """Ids of the studies received in a period, joined with their reports' newest versions."""
    study, head, version = MedicalStudy, MedicalReportHead, MedicalReportVersion
    return (
        select(study.study_id)
        .join(head, head.study_id == study.study_id)
        .join(version, and_(version.report_id == head.report_id, version.version == head.version))
        .where(study.tenant.in_(tenants), study.received_at >= start, study.received_at < end)
    )


def _is_read() -> ColumnElement[bool]:
    status: ColumnElement[str] = MedicalReportVersion.findings_status["status"].as_string()
    return status == "applied"


def _is_signed() -> ColumnElement[bool]:
    return MedicalReportVersion.state.in_(SIGNED)


def count_read(
    session: Session, tenants: Sequence[str], start: datetime, end: datetime, *where: ColumnElement[bool]
) -> int:
    """How many studies received in a period a model has read."""
    found = studies(tenants, start, end).where(_is_read(), *where)
    return int(session.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def by_kind(
    session: Session, tenants: Sequence[str], start: datetime, end: datetime
) -> list[tuple[str, int, int, int, int]]:
    """(kind, model says present, signed and said by model, of these no longer stated, signed and added)."""
    row = MedicalStatement
    said, kept = row.by_model.in_(_SAID), row.stated.in_(_SAID)
    signed = _is_signed()

    def total(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((and_(*conditions), 1), else_=0))

    counts = (
        studies(tenants, start, end)
        .join(row, row.study_id == MedicalStudy.study_id)
        .where(_is_read())
        .with_only_columns(
            row.kind,
            total(row.by_model == "present"),
            total(signed, said),
            total(signed, said, ~kept),
            total(signed, ~said, kept),
        )
        .group_by(row.kind)
        .order_by(row.kind)
    )
    return [(kind, *(int(number) for number in numbers)) for kind, *numbers in session.execute(counts)]  # type: ignore[misc]
