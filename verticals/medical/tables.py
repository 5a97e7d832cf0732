"""The tables of keys, studies and reports, and how rows become values. Ignores DICOM and the rules of a report.

The images of a study are in `instance_tables`.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, LargeBinary, String, Subquery, UniqueConstraint, event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column, sessionmaker

from verticals.contract import Base, Conflict, InvalidInput, NotFound, Time
from verticals.medical import report as reports
from verticals.medical.evidence import EvidenceGraph
from verticals.medical.fewshot import ledger  # noqa: F401 - declares its table
from verticals.medical.instance_tables import MedicalInstance, get_instance
from verticals.medical.report import Report
from verticals.medical.schemas import Addendum, FindingsStatus, Sections
from verticals.medical.statement_tables import replace_statements

MAX_PRIORS = 5  # that a draft names
_Id = String(64)
_Sha = String(64)


class MedicalKey(Base):
    """A tenant's secret for pseudonyms. Whoever has it can test guesses of identity: back it up apart from the data."""

    __tablename__ = "medical_keys"

    tenant: Mapped[str] = mapped_column(_Id, primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(Time)


class MedicalStudy(Base):
    """One study: a line of the worklist. Its images are in `instance_tables`."""

    __tablename__ = "medical_studies"
    __table_args__ = (UniqueConstraint("tenant", "study_uid"),)

    study_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(_Id, index=True)
    study_uid: Mapped[str] = mapped_column(_Id)  # the new one
    patient: Mapped[str] = mapped_column(_Id, index=True)  # pseudonym
    study_date: Mapped[str] = mapped_column(String(8))  # moved, YYYYMMDD; "" where the study has none
    origin: Mapped[str] = mapped_column(String(32))
    modality: Mapped[str] = mapped_column(String(16))  # of the first object, as the body part
    body_part: Mapped[str] = mapped_column(String(16))
    quality_verdict: Mapped[str] = mapped_column(String(8))  # the worst of its images
    drafted_from: Mapped[str] = mapped_column(_Id)  # the instance that the draft was made from
    received_at: Mapped[datetime] = mapped_column(Time, index=True)


class MedicalReportVersion(Base):
    """One version of a report; append-only. Version numbers are unique, so of two edits of one version one loses."""

    __tablename__ = "medical_report_versions"
    __table_args__ = (
        CheckConstraint("version >= 1", name="ck_medical_report_version"),
        CheckConstraint("state IN ('PRELIMINARY', 'EDITED', 'FINAL', 'AMENDED')", name="ck_medical_report_state"),
        CheckConstraint(
            "(state IN ('FINAL', 'AMENDED')) = (signer IS NOT NULL AND signed_at IS NOT NULL)",
            name="ck_medical_report_signed",
        ),
    )

    report_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tenant: Mapped[str] = mapped_column(_Id, index=True)
    study_id: Mapped[str] = mapped_column(_Id, index=True)
    state: Mapped[str] = mapped_column(String(16))
    sections: Mapped[dict[str, str]] = mapped_column(JSON)
    findings_status: Mapped[dict[str, Any]] = mapped_column(JSON)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
    signer: Mapped[str | None] = mapped_column(_Id)
    signed_at: Mapped[datetime | None] = mapped_column(Time)
    addenda: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    previous_sha256: Mapped[str] = mapped_column(_Sha)
    content_sha256: Mapped[str] = mapped_column(_Sha)
    created_at: Mapped[datetime] = mapped_column(Time)


class MedicalReportHead(Base):
    """The newest version of each report, kept apart: a last version that is taken away leaves its head behind."""

    __tablename__ = "medical_report_heads"

    report_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(_Id, index=True)
    study_id: Mapped[str] = mapped_column(_Id, index=True)
    version: Mapped[int]
    content_sha256: Mapped[str] = mapped_column(_Sha)


@event.listens_for(MedicalReportVersion, "before_update")
@event.listens_for(MedicalReportVersion, "before_delete")
def _refuse_change(_mapper: object, _connection: object, row: MedicalReportVersion) -> None:
    raise Conflict("a version of a report is immutable", field="report_id", value=row.report_id)


def tenant_key(sessions: sessionmaker[Session], tenant: str) -> bytes:
    """The tenant's pseudonym key; the first call makes it from the operating system's randomness."""
    with sessions() as session:
        if row := session.get(MedicalKey, tenant):
            return row.key
        session.add(MedicalKey(tenant=tenant, key=secrets.token_bytes(32), created_at=datetime.now(UTC)))
        try:
            session.commit()
        except IntegrityError:  # another request made it meanwhile
            session.rollback()
        return session.execute(select(MedicalKey.key).where(MedicalKey.tenant == tenant)).scalar_one()


def get_study(session: Session, tenant: str, study_id: str) -> MedicalStudy:
    """The tenant's study.

    Raises:
        NotFound: there is none of that id for this tenant.
    """
    found = session.execute(
        select(MedicalStudy).where(MedicalStudy.tenant == tenant, MedicalStudy.study_id == study_id)
    ).scalar_one_or_none()
    if found is None:
        raise NotFound("no such study", field="study_id", value=study_id)
    return found


def find_study(session: Session, tenant: str, study_uid: str) -> MedicalStudy:
    """The tenant's study by its pseudonymous Study Instance UID.

    Raises:
        NotFound: there is none for this tenant.
    """
    found = session.execute(
        select(MedicalStudy).where(MedicalStudy.tenant == tenant, MedicalStudy.study_uid == study_uid)
    ).scalar_one_or_none()
    if found is None:
        raise NotFound("no such study has been received", field="StudyInstanceUID (0020,000d)")
    return found


def get_image(session: Session, tenant: str, study_id: str, instance_id: str | None) -> MedicalInstance:
    """One image of the tenant's study; without an id, the one that the draft was made from.

    Raises:
        NotFound: there is no such study or image for this tenant.
        InvalidInput: the image is another study's.
    """
    study = get_study(session, tenant, study_id)
    row = get_instance(session, tenant, instance_id or study.drafted_from)
    if row.study_id != study_id:
        raise InvalidInput("must be an image of the study", field="instance_id", value=instance_id)
    return row


def earlier_studies(session: Session, tenant: str, patient: str, *, before: datetime) -> list[str]:
    """Ids of at most `MAX_PRIORS` of the patient's studies received before, the newest examination first."""
    study = MedicalStudy
    mine = select(study.study_id).where(study.tenant == tenant, study.patient == patient, study.received_at < before)
    newest = mine.order_by(study.study_date.desc(), study.received_at.desc())
    return list(session.execute(newest.limit(MAX_PRIORS)).scalars())


def get_report(session: Session, tenant: str, *, report_id: str | None = None, study_id: str | None = None) -> Report:
    """The newest version, by either id, verified against its hashes, its columns and its head.

    Raises:
        NotFound: there is none of that id for this tenant.
        Unavailable: the stored report was altered.
    """
    column, wanted = ("report_id", report_id) if report_id is not None else ("study_id", study_id)
    version = aliased(MedicalReportVersion, _of(MedicalReportVersion, tenant, column, wanted))
    head = aliased(MedicalReportHead, _of(MedicalReportHead, tenant, column, wanted))
    # one statement: between two, somebody's new version would look like a forged one
    both = select(version, head).join(head, version.report_id == head.report_id, full=True).order_by(version.version)
    found = session.execute(both).all()
    if not found:
        raise NotFound("no such report", field=column, value=wanted)
    rows, heads = [row for row, _ in found if row], list({row for _, row in found if row})
    name = rows[0].report_id if rows else heads[0].report_id
    try:
        chain = [(_from_row(row), row.content_sha256) for row in rows]
    except (AttributeError, TypeError, ValueError):
        raise reports.altered(name, len(rows)) from None
    kept = all(_same(_said(row), _columns(report, tenant)) for row, (report, _) in zip(rows, chain, strict=True))
    if not kept or len(heads) != 1 or not rows or _said(heads[0]) != _head(rows[-1]):
        raise reports.altered(name, len(rows))
    return reports.verify(chain)


def _of(table: Any, tenant: str, column: str, wanted: str | None) -> Subquery:
    return select(table).where(table.tenant == tenant, getattr(table, column) == wanted).subquery()


def get_version(session: Session, tenant: str, report_id: str, version: int) -> Report:
    """One version of a report, whose whole chain is verified.

    Raises:
        NotFound: there is none of that id, or of that number, for this tenant.
        Unavailable: as `get_report`.
    """
    get_report(session, tenant, report_id=report_id)
    row = session.get(MedicalReportVersion, (report_id, version))
    if row is None:
        raise NotFound("no such version", field="version", value=version)
    return _from_row(row)


def add_report(session: Session, tenant: str, report: Report) -> None:
    """Append one version.

    Raises:
        Conflict: somebody else appended the same version first.
    """
    try:
        append_report(session, tenant, report)
    except IntegrityError:
        raise Conflict(
            "somebody changed the report at the same time",
            field="report_id",
            value=report.report_id,
            remedy="Read it again.",
        ) from None


def append_report(session: Session, tenant: str, report: Report) -> None:
    """`add_report` for who tries again.

    Raises:
        IntegrityError: somebody else appended the same version first.
    """
    row = MedicalReportVersion(**_columns(report, tenant))
    session.add(row)
    session.flush()
    session.merge(MedicalReportHead(**_head(row)))
    replace_statements(session, tenant, report)
    session.flush()


def _columns(report: Report, tenant: str) -> dict[str, Any]:
    """A version as its row has it."""
    return {
        "report_id": report.report_id,
        "version": report.version,
        "tenant": tenant,
        "study_id": report.study_id,
        "state": report.state,
        "sections": report.sections.model_dump(),
        "findings_status": report.findings_status.model_dump(),
        "evidence": report.evidence.model_dump(mode="json"),
        "signer": report.signer,
        "signed_at": report.signed_at,
        "addenda": [a.model_dump(mode="json") for a in report.addenda],
        "previous_sha256": report.previous_sha256,
        "content_sha256": report.content_sha256,
        "created_at": report.created_at,
    }


_HEAD = ("report_id", "tenant", "study_id", "version", "content_sha256")


def _head(row: MedicalReportVersion) -> dict[str, Any]:
    """A version's head as its row has it."""
    return {name: getattr(row, name) for name in _HEAD}


def _said(row: MedicalReportVersion | MedicalReportHead) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in row.__table__.columns}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Equal to the letter: to Python, true equals 1."""
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


def _from_row(row: MedicalReportVersion) -> Report:
    return Report(
        report_id=row.report_id,
        study_id=row.study_id,
        version=row.version,
        state=row.state,  # type: ignore[arg-type]  # the table's check constraint
        sections=Sections.model_construct(None, **row.sections),
        findings_status=FindingsStatus.model_validate(row.findings_status),
        created_at=row.created_at,
        previous_sha256=row.previous_sha256,
        signer=row.signer,
        signed_at=row.signed_at,
        addenda=tuple(Addendum.model_validate(a) for a in row.addenda),
        evidence=EvidenceGraph.model_validate(row.evidence),
    )
