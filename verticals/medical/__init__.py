"""Medicine: a DICOM file in, a de-identified image and a report draft out. Research software, not a medical device.

Only schemas are imported here; pydicom and the rest load when `build`, `evals` or `demo` is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from verticals.contract import Artifact, Handler, Operation, Progress, Resources, Suite, Vertical
from verticals.medical import reading_schemas, schemas


def _build(resources: Resources) -> Mapping[str, Handler]:
    from verticals.medical.handlers import build

    return build(resources)


def _evals(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    from verticals.medical.evals import suites

    return suites(resources, handlers)


def _demo(resources: Resources, progress: Progress) -> None:
    from verticals.medical.demo import demo

    demo(resources, progress)


_SECTIONS = {
    "examination": "CT chest",
    "technique": "CT. Slice thickness 5 mm.",
    "comparison": "No prior study available.",
    "findings": "Lungs: clear.",
    "impression": "No acute abnormality.",
}

VERTICAL = Vertical(
    name="medical",
    title="Medical imaging",
    summary=f"Report drafts a radiologist can check, edit and sign. {schemas.NOTICE}.",
    operations=(
        Operation(
            "ingest_study",
            schemas.IngestRequest,
            schemas.StudyResponse,
            "Read one DICOM file (CT, MR, CR, DX), de-identify it, check it, and draft a report",
            "/studies",
        ),
        Operation(
            "list_studies",
            schemas.ListStudiesRequest,
            schemas.WorklistResponse,
            "The worklist, newest first or by urgency with its reason",
            "/studies",
            method="GET",
        ),
        Operation(
            "get_study", schemas.StudyRequest, schemas.StudyResponse, "One study", "/studies/{study_id}", method="GET"
        ),
        Operation(
            "render",
            schemas.RenderRequest,
            Artifact,
            "One frame as PNG, with window and level",
            "/studies/{study_id}/image",
            method="GET",
        ),
        Operation(
            "pixels",
            reading_schemas.PixelsRequest,
            reading_schemas.PixelsResponse,
            "One frame with all its grey levels, for a viewer that sets window and level itself",
            "/studies/{study_id}/pixels",
            method="GET",
        ),
        Operation(
            "prior",
            reading_schemas.PriorRequest,
            reading_schemas.PriorResponse,
            "The newest earlier study of the same patient and body part",
            "/studies/{study_id}/prior",
            method="GET",
        ),
        Operation(
            "watch",
            reading_schemas.WatchRequest,
            reading_schemas.WatchResponse,
            "Image quality by week, finding rates, and how often a person removed or added a finding",
            "/watch",
            method="GET",
        ),
        Operation(
            "get_report",
            schemas.ReportRequest,
            schemas.ReportResponse,
            "The newest version of a report",
            "/reports/{report_id}",
            method="GET",
        ),
        Operation(
            "edit_report",
            schemas.EditReportRequest,
            schemas.ReportResponse,
            "Replace the text of an unsigned report",
            "/reports/{report_id}",
            method="PUT",
            examples={"edit": {"sections": _SECTIONS, "expected_version": 1}},
        ),
        Operation(
            "sign_report",
            schemas.SignReportRequest,
            schemas.ReportResponse,
            "Sign a completed report; it cannot be changed afterwards",
            "/reports/{report_id}/sign",
            examples={"sign": {"signer": "Dr. A. Reader", "attest": True, "expected_version": 2}},
        ),
        Operation(
            "add_addendum",
            schemas.AddendumRequest,
            schemas.ReportResponse,
            "Add text to a signed report without changing it",
            "/reports/{report_id}/addenda",
            examples={"addendum": {"author": "Dr. A. Reader", "text": "Discussed with the ward by telephone."}},
        ),
        Operation(
            "read_record",
            schemas.RecordRequest,
            schemas.RecordResponse,
            "Problems and medicines in the record of a study's patient, for the indication",
            "/studies/{study_id}/record",
            examples={"text": {"patient_id": "P-17", "record": "Known asthma, on salbutamol. No fever. ?pneumonia."}},
        ),
        Operation(
            "export_report",
            schemas.ExportReportRequest,
            Artifact,
            "The report as DICOM SR, SEG, GSPS, key objects or capture, FHIR, PDF, text, or all in one ZIP",
            "/reports/{report_id}/export",
            method="GET",
        ),
    ),
    build=_build,
    evals=_evals,
    demo=_demo,
)
