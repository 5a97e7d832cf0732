"""A page of the worklist, by urgency or by date, sorted where the rows are. Ignores the rule (see `urgency`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from verticals.medical import reading_schemas, schemas
from verticals.medical.instance_tables import MedicalInstance
from verticals.medical.statement_tables import MedicalStatement
from verticals.medical.tables import MedicalReportHead, MedicalReportVersion, MedicalStudy
from verticals.medical.urgency import SIGNED, Stated, finding_level_sql, judge, level_sql


def page(
    session: Session, tenant: str, request: schemas.ListStudiesRequest, *, now: datetime
) -> tuple[list[reading_schemas.WorklistEntry], int]:
    """The lines of one page, and how many there are in all."""
    study, version = MedicalStudy, MedicalReportVersion
    lines = _lines(tenant)
    if request.reports == "open":
        lines = lines.where(version.state.not_in(SIGNED))
    total = session.execute(select(func.count()).select_from(lines.subquery())).scalar_one()
    if request.order == "urgency":
        lines = lines.order_by(_level(now).desc(), study.received_at, study.study_id)
    else:
        lines = lines.order_by(study.received_at.desc(), study.study_id)
    rows = session.execute(lines.limit(request.limit).offset(request.offset)).mappings().all()
    shown = [row["study_id"] for row in rows]
    stated, images = _stated(session, shown), _num_images(session, shown)
    entries = []
    for row in rows:
        urgency, reason = judge(
            row["report_state"],
            row["quality"],
            stated[row["study_id"]],
            received_at=row["received_at"],
            now=now,
        )
        entries.append(
            reading_schemas.WorklistEntry.model_validate(
                {**row, "num_instances": images[row["study_id"]], "urgency": urgency, "urgency_reason": reason}
            )
        )
    return entries, total


def _lines(tenant: str) -> Select[tuple[str, ...]]:
    """One row a study with the state of its report's newest version; no pixels, no account of the file."""
    study, head, version = MedicalStudy, MedicalReportHead, MedicalReportVersion
    columns = (study.study_id, head.report_id, study.origin, study.modality, study.body_part, study.received_at)
    return (
        select(
            *columns,
            study.quality_verdict.label("quality"),
            version.state.label("report_state"),
            func.nullif(study.study_date, "").label("study_date"),
        )
        .join(head, head.study_id == study.study_id)
        .join(version, (version.report_id == head.report_id) & (version.version == head.version))
        .where(study.tenant == tenant)  # a study's id is of one tenant: an index of the others would only be slower
    )


def _level(now: datetime) -> ColumnElement[int]:
    study, statement = MedicalStudy, MedicalStatement
    found = (
        select(func.max(finding_level_sql(statement.kind.expression, statement.stated.expression)))
        .where(statement.study_id == study.study_id)
        .scalar_subquery()
    )
    return level_sql(
        MedicalReportVersion.state.expression,
        study.quality_verdict.expression,
        func.coalesce(found, 0),
        study.received_at.expression,
        now=now,
    )


def _stated(session: Session, study_ids: Sequence[str]) -> defaultdict[str, list[Stated]]:
    """What the newest reports of the studies state as present or uncertain."""
    row = MedicalStatement
    wanted = select(row).where(row.study_id.in_(study_ids), row.stated.in_(("present", "uncertain"))).order_by(row.kind)
    found: defaultdict[str, list[Stated]] = defaultdict(list)
    for one in session.execute(wanted).scalars():
        # A model said it if what it says is what is stated.
        found[one.study_id].append(Stated(one.kind, one.stated, one.by_model == one.stated))  # type: ignore[arg-type]
    return found


def _num_images(session: Session, study_ids: Sequence[str]) -> dict[str, int]:
    """How many images each of the studies has; counted for a page alone."""
    row = MedicalInstance
    counts = select(row.study_id, func.count()).where(row.study_id.in_(study_ids)).group_by(row.study_id)
    found = {study_id: int(count) for study_id, count in session.execute(counts)}
    return {study_id: found.get(study_id, 0) for study_id in study_ids}
