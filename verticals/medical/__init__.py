"""Medicine: a DICOM file in, a de-identified image and a report draft out. Research software, not a medical device.

Only schemas are imported here; pydicom and the rest load when `build`, `evals` or `demo` is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from verticals.contract import Artifact, Handler, Operation, Progress, Resources, Suite, Vertical
from verticals.medical import intake_schemas, reading_schemas, record_schemas, schemas
from verticals.medical.chest.schemas import AttentionRequest
from verticals.medical.ct.guideline_schemas import FleischnerRequest, GuidelineAnswer, LungRadsRequest
from verticals.medical.ct.schemas import NodulesRequest, NodulesResponse
from verticals.medical.fewshot import schemas as few_shot
from verticals.medical.fundus.schemas import FundusStepsRequest, FundusStepsResponse
from verticals.medical.live import LIVE_MODELS
from verticals.replaying import Kept, Replayed
from verticals.watched import Period, Watch


def _build(resources: Resources) -> Mapping[str, Handler]:
    from verticals.medical.handlers import build

    return build(resources)


def _evals(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    from verticals.medical.evals import suites

    return suites(resources, handlers)


def _replay(kept: Kept, entry: Mapping[str, Any], given: Mapping[str, Any] | None) -> Replayed:
    from verticals.medical.replay import replay_entry

    return replay_entry(kept, entry, given)


def _demo(resources: Resources, progress: Progress) -> None:
    from verticals.medical.demo import demo

    demo(resources, progress)


def _watch(resources: Resources, period: Period) -> Watch:
    from verticals.medical.watching import watch

    return watch(resources, period)


_SECTIONS = {
    "examination": "CT chest",
    "technique": "CT. Slice thickness 5 mm.",
    "comparison": "No prior study available.",
    "findings": "Lungs: clear.",
    "impression": "No acute abnormality.",
}

_MASK = {"frame": None, "left": 0, "top": 0, "right": 200, "bottom": 40}

_FLEISCHNER = {
    "density": "solid",
    "count": "single",
    "mean_diameter_mm": 7.2,
    "risk": "high",
    "age_years": 61,
    "known_cancer": False,
    "immunosuppressed": False,
    "screening": False,
    "has_prior": False,
}
_SWITCH = {"name": "Dr. A. Reader", "reason": "Validated on last month's films, discussed on Tuesday."}
_LUNG_RADS = {
    "exam": "baseline",
    "nodule": "solid",
    "mean_diameter_mm": 9.4,
    "juxtapleural": False,
    "suspicious_features": False,
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
            "ingest_files",
            intake_schemas.IngestFilesRequest,
            intake_schemas.IngestFilesResponse,
            "Read several DICOM files, or ZIP archives of them; each object is stored, held or refused by itself",
            "/studies/batch",
            streams_file=True,
        ),
        Operation(
            "list_refusals",
            intake_schemas.PageRequest,
            intake_schemas.RefusalsResponse,
            "Objects that were refused, with tag, value and rule, newest first",
            "/refusals",
            method="GET",
        ),
        Operation(
            "list_held",
            intake_schemas.PageRequest,
            intake_schemas.HeldResponse,
            "Objects whose pixels may hold text: they wait for a person",
            "/held",
            method="GET",
        ),
        Operation(
            "show_held",
            intake_schemas.HeldImageRequest,
            Artifact,
            "One frame of a held object as it is; that somebody looked is recorded",
            "/held/{held_id}/image",
            method="GET",
        ),
        Operation(
            "release_held",
            intake_schemas.ReleaseRequest,
            intake_schemas.ObjectOutcome,
            "Take a held object in, with regions of it painted over",
            "/held/{held_id}/release",
            examples={"mask": {"name": "Dr. A. Reader", "attest": True, "masks": [_MASK]}},
        ),
        Operation(
            "discard_held",
            intake_schemas.DiscardRequest,
            intake_schemas.HeldObject,
            "Delete a held object's pixels; it is refused when it is sent again",
            "/held/{held_id}/discard",
            examples={"discard": {"name": "Dr. A. Reader"}},
        ),
        Operation(
            "list_studies",
            schemas.ListStudiesRequest,
            reading_schemas.WorklistResponse,
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
            record_schemas.RecordRequest,
            record_schemas.RecordResponse,
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
        Operation(
            "attention",
            AttentionRequest,
            Artifact,
            "Where the model looked for opacities, over the film, as PNG",
            "/studies/{study_id}/attention",
            method="GET",
        ),
        Operation(
            "fundus_steps",
            FundusStepsRequest,
            FundusStepsResponse,
            "How a fundus photograph is read, step by step: quality, side, vessels, candidates, grade",
            "/studies/{study_id}/fundus",
            method="GET",
        ),
        Operation(
            "ct_nodules",
            NodulesRequest,
            NodulesResponse,
            "Nodule candidates of a chest CT with their sizes; none of a model that is not validated, unless asked for",
            "/studies/{study_id}/nodules",
            method="GET",
        ),
        Operation(
            "fleischner",
            FleischnerRequest,
            GuidelineAnswer,
            "Fleischner 2017 for a nodule found by chance, from stated inputs; asks for what is missing",
            "/calculators/fleischner",
            examples={"solid": _FLEISCHNER},
        ),
        Operation(
            "lung_rads",
            LungRadsRequest,
            GuidelineAnswer,
            "Lung-RADS v2022 for a screening CT, from stated inputs; asks for what is missing",
            "/calculators/lung-rads",
            examples={"baseline": _LUNG_RADS},
        ),
        Operation(
            "train_few_shot",
            few_shot.TrainFewShotRequest,
            few_shot.FindingResponse,
            "Learn a finding of the site's own from some fifty labelled images, and measure it on other patients",
            "/few-shot",
            streams_file=True,
        ),
        Operation(
            "list_few_shot",
            few_shot.FewShotRequest,
            few_shot.FewShotResponse,
            "The site's own findings: versions with their figures, and what may be enabled or why not",
            "/few-shot",
            method="GET",
        ),
        Operation(
            "enable_few_shot",
            few_shot.EnableFewShotRequest,
            few_shot.FindingResponse,
            "Bring a version into use whose figures allow it",
            "/few-shot/{finding}/enable",
            examples={"enable": {"version": "0123456789ab"} | _SWITCH},
        ),
        Operation(
            "disable_few_shot",
            few_shot.DisableFewShotRequest,
            few_shot.FindingResponse,
            "Take a finding out of use; its versions stay",
            "/few-shot/{finding}/disable",
            examples={"disable": _SWITCH},
        ),
        Operation(
            "roll_back_few_shot",
            few_shot.RollBackFewShotRequest,
            few_shot.FindingResponse,
            "Take the last enabling or disabling of a finding back",
            "/few-shot/{finding}/roll-back",
            examples={"roll back": _SWITCH},
        ),
        Operation(
            "read_few_shot",
            few_shot.ReadFewShotRequest,
            few_shot.ReadFewShotResponse,
            "What the site's own findings in use say of one image of a study: research, never in its report",
            "/studies/{study_id}/few-shot",
            method="GET",
        ),
    ),
    build=_build,
    evals=_evals,
    demo=_demo,
    replay=_replay,
    models=LIVE_MODELS,
    subjects=("study_id", "report_id"),
    watch=_watch,
)
