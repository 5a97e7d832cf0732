"""Made-up medical handlers: a synthetic phantom as image, studies and reports in memory."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from PIL import Image

from tests.dashboards import fake_few_shot, fake_intake, fake_readings
from verticals.contract import Artifact, Conflict, Context, Handler, InvalidInput, NotFound, UnsupportedMedia
from verticals.medical import reading_schemas as r
from verticals.medical import schemas as s
from verticals.medical.drift import rate
from verticals.medical.evidence import EvidenceGraph, Finding, Measurement, Region
from verticals.medical.linking import linked
from verticals.medical.reading_handlers import pack
from verticals.medical.urgency import Stated, judge
from verticals.medical.verify import remarks

NO_MODEL = s.FindingsStatus(
    status="no model available", reason="No validated findings model exists for CT of this body part."
)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOP = "2.25.{}"  # of the study with this number


def _outline(column: float, row: float, radius: float) -> tuple[tuple[float, float], ...]:
    angles = np.linspace(0, 2 * np.pi, 13)
    ends = [(column + radius * float(np.cos(a)), row + radius * float(np.sin(a))) for a in angles[:-1]]
    return (*ends, ends[0])


def found(number: int) -> EvidenceGraph:
    """What a made-up model found in the study: a nodule with its outline, a doubtful effusion with a point."""
    nodule = Region(sop_instance_uid=SOP.format(number), shape="polyline", points=_outline(176.5, 115.5, 12))
    effusion = Region(sop_instance_uid=SOP.format(number), shape="point", points=((75.5, 175.5),))
    return EvidenceGraph(
        findings=(
            Finding(
                finding_id="f1", kind="nodule", presence="present", site="lung", side="left", prob=0.87,
                confidence_set=("present",), regions=(nodule,), model="phantom-detector@1.0",
                measurements=(Measurement(name="diameter", value=15.8, unit="mm"),),
            ),
            Finding(
                finding_id="f2", kind="effusion", presence="uncertain", site="pleura", side="right", prob=0.41,
                confidence_set=("present", "absent"), regions=(effusion,), model="phantom-detector@1.0",
            ),
            Finding(
                finding_id="f3", kind="pneumothorax", presence="absent", site="pleura", model="phantom-detector@1.0"
            ),
        )
    )  # fmt: skip


READ = s.FindingsStatus(status="applied", reason="Validated for this kind of study.", model="phantom-detector@1.0")
READ_DRAFT = s.Sections(
    examination="Computed tomography (CT), chest.",
    technique="One CT image object was read. Synthetic phantom.",
    comparison="No prior study available.",
    findings="Left lung nodule measuring 15.8 mm in diameter.\nPossible right pleural effusion.\nNo pneumothorax.",
    impression="Left lung nodule.\nPossible right pleural effusion.",
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


def with_links(report: s.ReportResponse, drafted: EvidenceGraph) -> s.ReportResponse:
    """The report with what its text states of the evidence, and where it differs from the draft's."""
    return report.model_copy(
        update={
            "evidence": drafted,
            "sentences": list(linked(report.sections, drafted)),
            "remarks": remarks(report.sections, drafted, has_prior=False),
        }
    )


def _study(
    number: int, *, modality: str, origin: s.Origin, quality: s.QualityVerdict, is_read: bool = False
) -> s.StudyResponse:
    reason = "Sharpness is low for a CT image." if quality == "warn" else "Sharpness is as expected."
    check: Any = {"name": "sharpness", "value": 0.31, "warn_at": 0.35, "reject_at": 0.1, "higher_is_better": True}
    now = datetime(2026, 11, 20, 8, number, tzinfo=UTC)
    report = s.ReportResponse(
        report_id=f"r-{number}",
        study_id=f"s-{number}",
        state="PRELIMINARY",
        version=1,
        sections=READ_DRAFT if is_read else DRAFT,
        findings_status=READ if is_read else NO_MODEL,
        blanks=0 if is_read else 4,
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
        findings_status=report.findings_status,
        report=with_links(report, found(number)) if is_read else report,
        series=[
            s.SeriesEntry(
                series_uid=f"2.26.{number}", series_number=1, modality=modality, body_part="CHEST",
                instances=[f"i-{number}"], sop_instance_uids=[SOP.format(number)], quality={quality: 1},
            )
        ],
        drafted_from=f"i-{number}",
    )  # fmt: skip


class _Store:
    """Studies in memory."""

    def __init__(self, studies: list[s.StudyResponse]) -> None:
        self.studies = {study.study_id: study for study in studies}

    def study(self, study_id: str) -> s.StudyResponse:
        if study_id in (fake_readings.STACK, fake_readings.EYE):  # on no worklist: reached by its id
            return fake_readings.study(_study(8, modality="CT", origin="synthetic", quality="accept"), study_id)
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
        changed = self.change(report, sections=request.sections, state="EDITED", blanks=blanks)
        if report.findings_status.status != "applied":
            return changed
        told = with_links(changed, found(int(report.study_id[2:])))
        self.studies[report.study_id] = self.studies[report.study_id].model_copy(update={"report": told})
        return told

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

    def worklist(self, request: s.ListStudiesRequest) -> r.WorklistResponse:
        wanted = [study for study in self.studies.values() if request.reports == "all" or not study.report.signed_at]
        entries = [_entry(study) for study in wanted]
        if request.order == "urgency":
            names = ("critical", "urgent", "soon", "routine", "done")
            entries.sort(key=lambda entry: (names.index(entry.urgency), entry.received_at))
        page = entries[request.offset : request.offset + request.limit]
        return r.WorklistResponse(studies=page, total=len(entries), limit=request.limit, offset=request.offset)

    def pixels(self, request: r.PixelsRequest) -> r.PixelsResponse:
        study = self.study(request.study_id)
        packed, low, step = pack(np.rint(phantom()))
        out = io.BytesIO()
        Image.fromarray(packed).save(out, "PNG")
        instance_id = request.instance_id or study.series[0].instances[0]
        place = study.series[0].instances.index(instance_id)
        return r.PixelsResponse(
            study_id=study.study_id, instance_id=instance_id, frame=1,
            sop_instance_uid=study.series[0].sop_instance_uids[place],
            image=study.image, rows=256, columns=256, reduced_by=1, low=low, high=low + step * 65535, step=step,
            is_inverted=False, curve=None, png=base64.b64encode(out.getvalue()).decode(),
        )  # fmt: skip

    def prior(self, request: r.PriorRequest) -> r.PriorResponse:
        one = self.study(request.study_id)
        if one.study_id == "s-4":
            return r.PriorResponse(
                study_id="s-3", modality="CT", received_at=self.study("s-3").received_at, reason="Same patient."
            )
        if one.body_part == "UNKNOWN":
            return r.PriorResponse(study_id=None, reason="The file does not state a body part to compare.")
        return r.PriorResponse(study_id=None, reason="No earlier study of this patient and body part is stored here.")


def _entry(study: s.StudyResponse) -> r.WorklistEntry:
    report = study.report
    stated = [Stated(f.kind, f.presence, is_by_model=True) for f in report.evidence.findings if f.presence != "absent"]
    urgency, reason = judge(report.state, study.quality.verdict, stated, received_at=study.received_at, now=NOW)
    return r.WorklistEntry(
        study_id=study.study_id,
        report_id=report.report_id,
        origin=study.origin,
        modality=study.modality,
        body_part=study.body_part,
        received_at=study.received_at,
        quality=study.quality.verdict,
        report_state=report.state,
        urgency=urgency,
        urgency_reason=reason,
    )


def _watch(request: r.WatchRequest, *, filled: bool) -> r.WatchResponse:
    if not filled:
        nothing = rate(0, 0)
        return r.WatchResponse(
            days=request.days, studies=0, read_by_model=0, signed=0, weeks=[], kinds=[], removed=nothing, added=nothing
        )
    monday = date(2026, 9, 7)
    weeks = [
        r.QualityWeek(
            start=monday + timedelta(weeks=i), verdicts={"accept": 30 + i, "warn": 5 + i % 3, "reject": i % 4}
        )
        for i in range(10)
    ]
    kinds = [
        r.KindRates(
            kind="nodule", found=rate(60, 300), found_before=rate(20, 280), has_moved=True,
            removed=rate(9, 50), added=rate(3, 200),
        ),
        r.KindRates(
            kind="effusion", found=rate(30, 300), found_before=rate(27, 280), has_moved=False,
            removed=rate(2, 25), added=rate(4, 225),
        ),
    ]  # fmt: skip
    return r.WatchResponse(
        days=request.days, studies=sum(sum(week.verdicts.values()) for week in weeks), read_by_model=300, signed=250,
        weeks=weeks, kinds=kinds, removed=rate(11, 75), added=rate(7, 425),
    )  # fmt: skip


def _export(store: _Store, request: s.ExportReportRequest) -> Artifact:
    report = store.report(request.report_id)
    kinds = {"sr": ("application/dicom", "sr.dcm"), "fhir": ("application/fhir+json", "fhir.json")}
    media_type, name = kinds.get(request.format, ("text/plain", "report.txt"))
    return Artifact(report.sections.findings.encode(), media_type, f"{report.report_id}-{name}")


def handlers(*, filled: bool) -> Mapping[str, Handler]:
    """Handlers over one store."""
    first = [
        _study(4, modality="CT", origin="synthetic", quality="accept", is_read=True),
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
        "pixels": plain(store.pixels),
        "prior": plain(store.prior),
        "attention": plain(lambda request: _png(s.RenderRequest(study_id=request.study_id))),
        "watch": plain(lambda request: _watch(request, filled=filled)),
        "get_report": plain(lambda request: store.report(request.report_id)),
        "edit_report": plain(store.edit),
        "sign_report": plain(store.sign),
        "add_addendum": plain(store.add),
        "export_report": plain(lambda request: _export(store, request)),
        **fake_few_shot.handlers(filled=filled),
        **fake_intake.handlers(fake_intake.Held(filled=filled)),
        **fake_readings.handlers(),
    }
