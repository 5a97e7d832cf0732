"""Made-up medical handlers: a synthetic phantom as image, studies and reports in memory."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image

from verticals.contract import Artifact, Conflict, Context, Handler, InvalidInput, NotFound, UnsupportedMedia
from verticals.medical import schemas as s

NO_MODEL = s.FindingsStatus(
    status="no model available", reason="No validated findings model exists for CT of this body part."
)
DRAFT = s.Sections(
    examination="CT, body part UNKNOWN.",
    technique="One axial image, 128 × 128, 5 mm. Synthetic phantom.",
    comparison="None available.",
    findings="Lungs: [describe]\nMediastinum: [describe]\nBones: [describe]",
    impression="[describe]",
)


def phantom(size: int = 256) -> np.ndarray:
    """A body-like disc with two lungs and a spine, in Hounsfield units."""
    row, column = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = np.full((size, size), -1000.0)
    image[(row / 0.7) ** 2 + (column / 0.92) ** 2 < 1] = 40
    for side in (-0.42, 0.42):
        image[((row + 0.05) / 0.48) ** 2 + ((column - side) / 0.3) ** 2 < 1] = -820
    image[(row - 0.42) ** 2 + column**2 < 0.012] = 700
    image[(row + 0.1) ** 2 + (column - 0.38) ** 2 < 0.004] = 60
    return image + np.random.default_rng(0).normal(0, 12, image.shape)


def _png(request: s.RenderRequest) -> Artifact:
    image = phantom()
    center = request.window_center if request.window_center is not None else 40
    width = request.window_width or 400
    grey = np.clip((image - center) / width + 0.5, 0, 1) * 255
    out = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(out, "PNG")
    return Artifact(out.getvalue(), "image/png", "frame.png")


def _study(number: int, *, modality: str, origin: s.Origin, quality: s.QualityVerdict) -> s.StudyResponse:
    reason = "Sharpness is low for a CT image." if quality == "warn" else "Sharpness is as expected."
    check: Any = {"name": "sharpness", "value": 0.31, "warn_at": 0.35, "reject_at": 0.1, "higher_is_better": True}
    now = datetime(2026, 11, 20, 8, number, tzinfo=UTC)
    report = s.ReportResponse(
        report_id=f"r-{number}",
        study_id=f"s-{number}",
        state="PRELIMINARY",
        version=1,
        sections=DRAFT,
        findings_status=NO_MODEL,
        blanks=4,
        content_sha256=f"{number:064x}",
        updated_at=now,
    )
    return s.StudyResponse(
        study_id=f"s-{number}",
        origin=origin,
        modality=modality,
        body_part="CHEST" if modality == "CT" else "UNKNOWN",
        received_at=now,
        quality=s.Quality(
            verdict=quality,
            score=0.8,
            reasons=[reason] if quality != "accept" else [],
            checks=[s.QualityCheck(verdict=quality, reason=reason, **check)],
        ),
        deidentification=s.Deidentification(
            method="PS3.15 Annex E Basic Application Level Confidentiality Profile",
            removed=18,
            emptied=6,
            replaced=2,
            uids_replaced=4,
            private_removed=3,
            kept=61,
            attributes=[
                s.DeidentifiedAttribute(tag="(0010,0010)", keyword="PatientName", action="Z", count=1),
                s.DeidentifiedAttribute(tag="(0020,000D)", keyword="StudyInstanceUID", action="U", count=1),
            ],
            warnings=["Text burned into the pixels was not looked for."],
        ),
        image=s.ImageFacts(
            rows=256,
            columns=256,
            frames=1,
            spacing_mm=(0.66, 0.66) if modality == "CT" else None,
            spacing_note="Pixel Spacing" if modality == "CT" else "no Pixel Spacing in the file",
            photometric="MONOCHROME2",
            bits_stored=16,
            units="HU" if modality == "CT" else "unspecified",
            value_min=-1040,
            value_max=742,
            window_center=40,
            window_width=400,
            window_source="header",
        ),
        findings_status=NO_MODEL,
        report=report,
    )


class _Store:
    """Studies in memory."""

    def __init__(self, studies: list[s.StudyResponse]) -> None:
        self.studies = {study.study_id: study for study in studies}

    def study(self, study_id: str) -> s.StudyResponse:
        if study_id not in self.studies:
            raise NotFound("no such study", field="study_id", value=study_id)
        return self.studies[study_id]

    def report(self, report_id: str) -> s.ReportResponse:
        for study in self.studies.values():
            if study.report.report_id == report_id:
                return study.report
        raise NotFound("no such report", field="report_id", value=report_id)

    def change(self, report: s.ReportResponse, **values: Any) -> s.ReportResponse:
        digest = f"{int(report.content_sha256, 16) + 1000:064x}"
        changed = report.model_copy(update={**values, "version": report.version + 1, "content_sha256": digest})
        self.studies[report.study_id] = self.studies[report.study_id].model_copy(update={"report": changed})
        return changed

    def edit(self, request: s.EditReportRequest) -> s.ReportResponse:
        report = self.report(request.report_id)
        if report.version != request.expected_version:
            raise Conflict("the report has changed since", field="expected_version", value=request.expected_version)
        blanks = sum(getattr(request.sections, name).count("[") for name in s.Sections.model_fields)
        return self.change(report, sections=request.sections, state="EDITED", blanks=blanks)

    def sign(self, request: s.SignReportRequest) -> s.ReportResponse:
        report = self.report(request.report_id)
        if not request.attest:
            raise InvalidInput(
                "must be confirmed", field="attest", remedy="Tick that you have reviewed image and text."
            )
        if report.blanks:
            raise Conflict("blanks must be filled before signing", field="sections", value=report.blanks)
        return self.change(
            report, state="FINAL", signer=request.signer, signed_at=datetime(2026, 11, 20, 10, tzinfo=UTC)
        )

    def add(self, request: s.AddendumRequest) -> s.ReportResponse:
        report = self.report(request.report_id)
        added = s.Addendum(author=request.author, text=request.text, added_at=datetime(2026, 11, 20, 11, tzinfo=UTC))
        return self.change(report, state="AMENDED", addenda=[*report.addenda, added])

    def ingest(self, request: s.IngestRequest) -> s.StudyResponse:
        if request.file.content[128:132] != b"DICM":
            raise UnsupportedMedia(
                "must be a DICOM Part 10 file", field="file", value=request.file.filename, remedy="Send a .dcm file."
            )
        study = _study(len(self.studies) + 1, modality="CT", origin=request.origin, quality="accept")
        self.studies = {study.study_id: study, **self.studies}
        return study

    def worklist(self, request: s.ListStudiesRequest) -> s.WorklistResponse:
        entries = [
            s.WorklistEntry(
                study_id=study.study_id,
                report_id=study.report.report_id,
                origin=study.origin,
                modality=study.modality,
                body_part=study.body_part,
                received_at=study.received_at,
                quality=study.quality.verdict,
                report_state=study.report.state,
            )
            for study in self.studies.values()
        ]
        return s.WorklistResponse(studies=entries, total=len(entries), limit=request.limit, offset=request.offset)


def _export(store: _Store, request: s.ExportReportRequest) -> Artifact:
    report = store.report(request.report_id)
    kinds = {"sr": ("application/dicom", "sr.dcm"), "fhir": ("application/fhir+json", "fhir.json")}
    media_type, name = kinds.get(request.format, ("text/plain", "report.txt"))
    return Artifact(report.sections.findings.encode(), media_type, f"{report.report_id}-{name}")


def handlers(*, filled: bool) -> Mapping[str, Handler]:
    """Handlers over one store."""
    first = [
        _study(3, modality="CT", origin="synthetic", quality="accept"),
        _study(2, modality="MR", origin="pydicom-test-data", quality="warn"),
        _study(1, modality="CR", origin="upload", quality="reject"),
    ]
    store = _Store(first if filled else [])

    def plain(function: Any) -> Handler:
        return lambda request, _context: function(request)

    def study(request: s.StudyRequest, _context: Context) -> s.StudyResponse:
        return store.study(request.study_id)

    return {
        "ingest_study": plain(store.ingest),
        "list_studies": plain(store.worklist),
        "get_study": study,
        "render": plain(_png),
        "get_report": plain(lambda request: store.report(request.report_id)),
        "edit_report": plain(store.edit),
        "sign_report": plain(store.sign),
        "add_addendum": plain(store.add),
        "export_report": plain(lambda request: _export(store, request)),
    }
