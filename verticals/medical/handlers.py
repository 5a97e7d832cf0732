"""The operations of the medical vertical: steps in order, one transaction each, one audit row each. Ignores HTTP."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Artifact, Conflict, Context, Decision, Handler, InvalidInput, Resources
from verticals.medical import findings, geometry, ingest, language, quality, report, schemas, tables
from verticals.medical.confidentiality import METHOD
from verticals.medical.deidentify import Pseudonyms, deidentify, to_file
from verticals.medical.evidence import EvidenceGraph
from verticals.medical.export import files
from verticals.medical.linking import linked
from verticals.medical.record_handlers import Records
from verticals.medical.report import Report
from verticals.medical.verify import remarks

POLICY = f"{METHOD}; quality limits 1"


def build(resources: Resources) -> Mapping[str, Handler]:
    """Operation name -> handler."""
    ingest.silence_pydicom()
    desk = _Desk(resources.sessions, resources.chat_model)
    return {
        "ingest_study": desk.ingest_study,
        "list_studies": desk.list_studies,
        "get_study": desk.get_study,
        "render": desk.render,
        "get_report": desk.get_report,
        "edit_report": desk.edit_report,
        "sign_report": desk.sign_report,
        "add_addendum": desk.add_addendum,
        "export_report": desk.export_report,
        "read_record": Records(resources.sessions).read_record,
    }


@dataclass(frozen=True)
class _Prepared:
    """A study that is ready to be stored."""

    row: tables.MedicalStudy
    header: Dataset
    status: schemas.FindingsStatus
    evidence: EvidenceGraph
    said: language.Draft
    grade: schemas.Quality


@dataclass(frozen=True)
class _Desk:
    """Where studies arrive and reports leave."""

    sessions: sessionmaker[Session]
    model: language.Model | None  # words the drafts; None: templates do

    def ingest_study(self, request: schemas.IngestRequest, context: Context) -> schemas.StudyResponse:
        """Store one file, or answer with the study that already holds it.

        The same bytes again give the same study (`already_present`); other bytes under the same SOP Instance UID are
        refused, since DICOM forbids two different objects with one UID (PS3.5 9).
        """
        received = ingest.read(request.file.content)
        pseudonyms = Pseudonyms(tables.tenant_key(self.sessions, context.tenant))
        ready = _prepare(received, pseudonyms, request, context.tenant, self.model)
        with self.sessions() as session:
            if known := _same_instance(session, ready.row):
                return _study_response(session, known, already_present=True)
            try:
                self._store(session, ready, context)
                session.commit()
            except IntegrityError:  # the same file, at the same moment
                session.rollback()
                known = _same_instance(session, ready.row)
                if known is None:
                    raise
                return _study_response(session, known, already_present=True)
            return _study_response(session, tables.get_study(session, context.tenant, ready.row.study_id))

    def _store(self, session: Session, ready: _Prepared, context: Context) -> None:
        row = ready.row
        priors = _earlier(session, row)
        session.add(row)
        session.flush()
        first = Report(
            report_id=f"rp_{secrets.token_hex(8)}",
            study_id=row.study_id,
            version=1,
            state="PRELIMINARY",
            sections=report.draft(ready.header, ready.grade, ready.status, ready.said, priors=priors),
            findings_status=ready.status,
            created_at=datetime.now(UTC),
            previous_sha256="",
            evidence=ready.evidence,
        )
        tables.add_report(session, row.tenant, first)
        outcome = {
            "modality": row.modality,
            "origin": row.origin,
            "quality": row.quality_verdict,
            "findings": ready.status.status,
            "written_by": ready.said.written_by,
            "report_id": first.report_id,
            "dicom_sha256": row.dicom_sha256,
        }
        context.record(
            Decision("medical.ingest", row.study_id, row.source_mac, outcome, _model(first), POLICY), session=session
        )

    def list_studies(self, request: schemas.ListStudiesRequest, context: Context) -> schemas.WorklistResponse:
        """A page of the tenant's worklist."""
        with self.sessions() as session:
            rows, total = tables.worklist(session, context.tenant, limit=request.limit, offset=request.offset)
            entries = [
                schemas.WorklistEntry.model_validate(
                    {
                        "study_id": row.study_id,
                        "report_id": report_id,
                        "origin": row.origin,
                        "modality": row.modality,
                        "body_part": row.body_part,
                        "received_at": row.received_at,
                        "quality": row.quality_verdict,
                        "report_state": state,
                    }
                )
                for row, report_id, state in rows
            ]
        return schemas.WorklistResponse(studies=entries, total=total, limit=request.limit, offset=request.offset)

    def get_study(self, request: schemas.StudyRequest, context: Context) -> schemas.StudyResponse:
        """One study of the tenant."""
        with self.sessions() as session:
            return _study_response(session, tables.get_study(session, context.tenant, request.study_id))

    def render(self, request: schemas.RenderRequest, context: Context) -> Artifact:
        """One frame as PNG."""
        if (request.window_center is None) != (request.window_width is None):
            raise InvalidInput("window_center and window_width must be given together", field="window_center")
        dataset = self._dicom(context.tenant, request.study_id)
        frames = int(dataset.get("NumberOfFrames") or 1)
        if request.frame > frames:
            raise InvalidInput(f"must be at most {frames}", field="frame", value=request.frame)
        window = None
        if request.window_center is not None and request.window_width is not None:
            window = (request.window_center, request.window_width)
        stored = pixel_array(dataset, raw=True, index=request.frame - 1)
        png = geometry.to_png(geometry.render(stored, dataset, window=window))
        return Artifact(png, "image/png", f"{request.study_id}-{request.frame}.png")

    def get_report(self, request: schemas.ReportRequest, context: Context) -> schemas.ReportResponse:
        """The newest version, its hashes verified."""
        with self.sessions() as session:
            newest = tables.get_report(session, context.tenant, report_id=request.report_id)
            return _report_response(newest, session, context.tenant)

    def edit_report(self, request: schemas.EditReportRequest, context: Context) -> schemas.ReportResponse:
        """Append an EDITED version."""
        with self.sessions() as session:
            before = tables.get_report(session, context.tenant, report_id=request.report_id)
            after = report.edited(
                before, request.sections, expected_version=request.expected_version, now=datetime.now(UTC)
            )
            return _append(session, "medical.edit", before, after, context)

    def sign_report(self, request: schemas.SignReportRequest, context: Context) -> schemas.ReportResponse:
        """Append the FINAL version."""
        with self.sessions() as session:
            before = tables.get_report(session, context.tenant, report_id=request.report_id)
            after = report.signed(
                before,
                signer=request.signer,
                attest=request.attest,
                expected_version=request.expected_version,
                now=datetime.now(UTC),
            )
            return _append(session, "medical.sign", before, after, context)

    def add_addendum(self, request: schemas.AddendumRequest, context: Context) -> schemas.ReportResponse:
        """Append an AMENDED version."""
        with self.sessions() as session:
            before = tables.get_report(session, context.tenant, report_id=request.report_id)
            after = report.amended(before, author=request.author, text=request.text, now=datetime.now(UTC))
            return _append(session, "medical.addendum", before, after, context)

    def export_report(self, request: schemas.ExportReportRequest, context: Context) -> Artifact:
        """The newest version as a file; the audit row keeps the file's hash."""
        with self.sessions() as session:
            newest = tables.get_report(session, context.tenant, report_id=request.report_id)
            images = [_read_stored(tables.get_study(session, context.tenant, newest.study_id))]
            made = files.export(newest, images, request.format)
            outcome = {
                "format": request.format,
                "version": newest.version,
                "state": newest.state,
                "file_sha256": hashlib.sha256(made.content).hexdigest(),
            }
            context.record(
                Decision("medical.export", newest.report_id, newest.content_sha256, outcome, _model(newest), POLICY),
                session=session,
            )
            session.commit()
            return made

    def _dicom(self, tenant: str, study_id: str) -> Dataset:
        with self.sessions() as session:
            return _read_stored(tables.get_study(session, tenant, study_id))


def _prepare(
    received: ingest.Received,
    pseudonyms: Pseudonyms,
    request: schemas.IngestRequest,
    tenant: str,
    model: language.Model | None,
) -> _Prepared:
    """De-identify, measure, grade, look for a findings model, word its evidence: all that needs no database."""
    clean, account = deidentify(received.dataset, pseudonyms)
    facts = geometry.measure(received.stored, clean)
    told = list(received.warnings)
    if facts.frames > 1:
        told.append(f"The file holds {facts.frames} frames; only the middle one was graded.")
    grade = quality.assess(
        received.stored[facts.frames // 2],
        received.modality,
        inverted=facts.photometric == "MONOCHROME1",
        warnings=told,
    )
    part = str(clean.get("BodyPartExamined", "")) or "UNKNOWN"
    values = geometry.modality_values(received.stored, clean)
    status, evidence = findings.apply(values, received.modality, part)
    content = to_file(clean)
    details: dict[str, Any] = {
        "quality": grade.model_dump(),
        "deidentification": account.model_dump(),
        "image": facts.model_dump(mode="json"),
        "findings_status": status.model_dump(),
    }
    row = tables.MedicalStudy(
        study_id=f"st_{secrets.token_hex(8)}",
        tenant=tenant,
        sop_instance_uid=clean.SOPInstanceUID,
        patient=clean.PatientID,
        source_mac=pseudonyms.mac("file", request.file.content).hex(),
        origin=request.origin,
        modality=received.modality,
        body_part=part,
        quality_verdict=grade.verdict,
        details=details,
        dicom=content,
        dicom_sha256=hashlib.sha256(content).hexdigest(),
        received_at=datetime.now(UTC),
    )
    return _Prepared(row, clean, status, evidence, language.write(evidence, model), grade)


def _same_instance(session: Session, row: tables.MedicalStudy) -> tables.MedicalStudy | None:
    known = session.execute(
        select(tables.MedicalStudy).where(
            tables.MedicalStudy.tenant == row.tenant, tables.MedicalStudy.sop_instance_uid == row.sop_instance_uid
        )
    ).scalar_one_or_none()
    if known is not None and known.source_mac != row.source_mac:
        raise Conflict(
            "a different object with the same UID is stored already (PS3.5 9)",
            field="SOPInstanceUID (0008,0018)",
            value=known.study_id,
            remedy="Send a changed object under a new SOP Instance UID.",
        )
    return known


def _read_stored(row: tables.MedicalStudy) -> Dataset:
    return dcmread(io.BytesIO(tables.get_pixels(row)))


def _model(current: Report) -> str:
    return current.findings_status.model or "no findings model"


def _append(session: Session, kind: str, before: Report, after: Report, context: Context) -> schemas.ReportResponse:
    """Store the next version and its audit row together."""
    tables.add_report(session, context.tenant, after)
    outcome = {"version": after.version, "state": after.state, "content_sha256": after.content_sha256}
    context.record(
        Decision(kind, after.report_id, before.content_sha256, outcome, _model(after), POLICY), session=session
    )
    session.commit()
    return _report_response(after, session, context.tenant)


def _earlier(session: Session, row: tables.MedicalStudy) -> list[str]:
    """Ids of the patient's last five studies before this one, newest first."""
    study = tables.MedicalStudy
    same = select(study.study_id).where(
        study.tenant == row.tenant, study.patient == row.patient, study.received_at < row.received_at
    )
    return list(session.execute(same.order_by(study.received_at.desc()).limit(5)).scalars())


def _report_response(current: Report, session: Session, tenant: str) -> schemas.ReportResponse:
    has_prior = bool(_earlier(session, tables.get_study(session, tenant, current.study_id)))
    return schemas.ReportResponse(
        report_id=current.report_id,
        study_id=current.study_id,
        state=current.state,
        version=current.version,
        sections=current.sections,
        findings_status=current.findings_status,
        blanks=current.blanks,
        signer=current.signer,
        signed_at=current.signed_at,
        addenda=list(current.addenda),
        evidence=current.evidence,
        sentences=list(linked(current.sections, current.evidence)),
        remarks=remarks(current.sections, current.drafted, has_prior=has_prior),
        content_sha256=current.content_sha256,
        updated_at=current.created_at,
    )


def _study_response(
    session: Session, row: tables.MedicalStudy, *, already_present: bool = False
) -> schemas.StudyResponse:
    return schemas.StudyResponse.model_validate(
        {
            "study_id": row.study_id,
            "origin": row.origin,
            "modality": row.modality,
            "body_part": row.body_part,
            "received_at": row.received_at,
            "already_present": already_present,
            "report": _report_response(
                tables.get_report(session, row.tenant, study_id=row.study_id), session, row.tenant
            ),
            **row.details,
        }
    )
