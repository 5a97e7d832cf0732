"""The operations of the medical vertical: steps in order, one transaction each, one audit row each. Ignores HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom.dataset import Dataset
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Artifact, Context, Decision, Handler, InvalidInput, Resources
from verticals.medical import (
    geometry,
    intake_handlers,
    reading_handlers,
    reading_schemas,
    report,
    schemas,
    tables,
    worklist,
)
from verticals.medical.burned_in import RapidOcrReader, TextReader
from verticals.medical.chest.handlers import FilmDesk
from verticals.medical.chest.registered import chest_reader
from verticals.medical.ct import handlers as ct_handlers
from verticals.medical.export import files
from verticals.medical.fewshot import handlers as few_shot_handlers
from verticals.medical.fundus.handlers import EyeDesk
from verticals.medical.fundus.registered import fundus_reader
from verticals.medical.instance_tables import list_instances, read_dataset, series_entries
from verticals.medical.intake import POLICY, Intake
from verticals.medical.linking import linked
from verticals.medical.part10 import prepare_pydicom
from verticals.medical.record_handlers import Records
from verticals.medical.report import Report
from verticals.medical.verify import remarks


def build(resources: Resources, *, reader: TextReader | None = None) -> Mapping[str, Handler]:
    """Operation name -> handler.

    Args:
        reader: Finds text in pixels; by default OCR, opened at the first image.
    """
    prepare_pydicom()
    films = chest_reader(resources.registry)
    text_reader = reader or RapidOcrReader()
    eyes = fundus_reader(resources.registry)
    intake = Intake(resources.sessions, text_reader, resources.max_study_bytes, resources.chat_model, (films, eyes))
    desk = _Desk(resources.sessions, intake)
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
        "read_record": Records(resources.sessions, resources.encoder_dir).read_record,
        **intake_handlers.handlers(intake),
        "attention": FilmDesk(resources.sessions, films).attention,
        "fundus_steps": EyeDesk(resources.sessions, eyes).steps,
        **reading_handlers.handlers(resources.sessions),
        **ct_handlers.handlers(resources),
        **few_shot_handlers.handlers(resources),
    }


@dataclass(frozen=True)
class _Desk:
    """Where studies arrive and reports leave."""

    sessions: sessionmaker[Session]
    intake: Intake

    def ingest_study(self, request: schemas.IngestRequest, context: Context) -> schemas.StudyResponse:
        """Store one file, and answer with its study, which may have other images already.

        The same bytes again change nothing (`already_present`); other bytes under the same SOP Instance UID are
        refused, since DICOM forbids two different objects with one UID (PS3.5 9).
        """
        taken = self.intake.take(
            request.file.content, origin=request.origin, context=context, laterality=request.laterality
        )
        if taken.study_id is None:
            raise InvalidInput(
                "the pixels may hold text that identifies the patient; a person must look (PS3.15 E.1.1)",
                field="PixelData (7fe0,0010)",
                value=taken.id,
                remedy=f"Release, mask or discard it: GET /v1/medical/held/{taken.id}/image.",
            )
        with self.sessions() as session:
            study = tables.get_study(session, context.tenant, taken.study_id)
            return _study_response(session, study, already_present=taken.status == "already present")

    def list_studies(self, request: schemas.ListStudiesRequest, context: Context) -> reading_schemas.WorklistResponse:
        """A page of the tenant's worklist."""
        with self.sessions() as session:
            entries, total = worklist.page(session, context.tenant, request, now=datetime.now(UTC))
        return reading_schemas.WorklistResponse(
            studies=entries, total=total, limit=request.limit, offset=request.offset
        )

    def get_study(self, request: schemas.StudyRequest, context: Context) -> schemas.StudyResponse:
        """One study of the tenant."""
        with self.sessions() as session:
            return _study_response(session, tables.get_study(session, context.tenant, request.study_id))

    def render(self, request: schemas.RenderRequest, context: Context) -> Artifact:
        """One frame as PNG."""
        if (request.window_center is None) != (request.window_width is None):
            raise InvalidInput("window_center and window_width must be given together", field="window_center")
        with self.sessions() as session:
            image = tables.get_image(session, context.tenant, request.study_id, request.instance_id)
            dataset = read_dataset(image)
        stored, header = geometry.stored_frame(dataset, request.frame)
        window = None
        if request.window_center is not None and request.window_width is not None:
            window = (request.window_center, request.window_width)
        png = geometry.to_png(geometry.render(stored, header, window=window))
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
            images = images_of(session, tables.get_study(session, context.tenant, newest.study_id), newest)
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


def images_of(session: Session, study: tables.MedicalStudy, newest: Report) -> list[Dataset]:
    """The image that the draft was made from, and the others that the report's evidence names."""
    named = {region.sop_instance_uid for finding in newest.evidence.findings for region in finding.regions}
    rows = list_instances(session, study.tenant, study.study_id)
    wanted = [row for row in rows if row.instance_id == study.drafted_from]
    wanted += [row for row in rows if row.sop_instance_uid in named and row.instance_id != study.drafted_from]
    return [read_dataset(row) for row in wanted]


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


def _report_response(current: Report, session: Session, tenant: str) -> schemas.ReportResponse:
    study = tables.get_study(session, tenant, current.study_id)
    has_prior = bool(tables.earlier_studies(session, tenant, study.patient, before=study.received_at))
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
    report_now = tables.get_report(session, row.tenant, study_id=row.study_id)
    newest, edited_at = _report_response(report_now, session, row.tenant), report_now.edited_at
    images = list_instances(session, row.tenant, row.study_id)
    signed_at = newest.signed_at
    first = next(image for image in images if image.instance_id == row.drafted_from)
    return schemas.StudyResponse.model_validate(
        {
            "study_id": row.study_id,
            "origin": row.origin,
            "modality": row.modality,
            "body_part": row.body_part,
            "study_date": row.study_date or None,
            "received_at": row.received_at,
            "already_present": already_present,
            "report": newest,
            "series": series_entries(session, row.tenant, images),
            "drafted_from": row.drafted_from,
            "num_after_editing": sum(
                edited_at is not None
                and edited_at < image.received_at
                and not (signed_at and image.received_at > signed_at)
                for image in images
            ),
            "num_after_signing": sum(signed_at is not None and image.received_at > signed_at for image in images),
            **first.details,
        }
    )
