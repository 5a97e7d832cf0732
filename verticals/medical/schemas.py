"""What the medical vertical is asked and what it answers. Ignores DICOM, storage and HTTP.

Research software, not a medical device. What is asked and answered around receiving is in `intake_schemas`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from verticals.contract import UploadedFile
from verticals.medical.evidence import NO_EVIDENCE, EvidenceGraph
from verticals.medical.evidence import Finding as Finding  # the API's, for who imports schemas alone
from verticals.medical.evidence import Region as Region
from verticals.medical.vocabulary import Code

NOTICE = "Research software, not a medical device"

QualityVerdict = Literal["accept", "warn", "reject"]
ReportState = Literal["PRELIMINARY", "EDITED", "FINAL", "AMENDED"]
Urgency = Literal["done", "routine", "soon", "urgent", "critical"]  # the rule is in `urgency`
Origin = Literal["upload", "network", "pydicom-test-data", "synthetic"]
ExportFormat = Literal["sr", "seg", "gsps", "ko", "sc", "fhir", "pdf", "text", "all"]

MAX_SECTION_CHARS = 20_000


def _printable(text: str) -> str:
    """Strip, and refuse what DICOM, JSON or PostgreSQL cannot hold: control characters other than tab and newline."""
    text = text.replace("\r\n", "\n").strip()
    if any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in text):
        raise ValueError("must not hold control characters other than tab and newline")
    return text


def _person(name: str) -> str:
    """A name on one line without the separators of the DICOM VR PN (PS3.5 6.2)."""
    name = _printable(name)
    if len(name) < 2 or any(c in "\\^=\n\t" for c in name):
        raise ValueError("must be a name of 2 to 64 characters on one line, without backslash, ^ or =")
    return name


Text = Annotated[str, Field(max_length=MAX_SECTION_CHARS), AfterValidator(_printable)]
Person = Annotated[str, Field(min_length=2, max_length=64), AfterValidator(_person)]


class Request(BaseModel):
    """What is asked: unknown fields fail."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What is answered; every answer carries the notice."""

    notice: str = NOTICE


# --- requests ---------------------------------------------------------------------------------------------------------


class IngestRequest(Request):
    """One DICOM Part 10 file, or a fundus photograph as JPEG or PNG, which needs `laterality`: the photographed eye.

    `origin` labels data that is not a patient's, wherever it appears. `laterality` may not contradict a DICOM header.
    """

    file: UploadedFile
    origin: Origin = "upload"
    laterality: Literal["L", "R"] | None = None


class ListStudiesRequest(Request):
    """A page of the worklist. By urgency: the most urgent first, and of equals the oldest."""

    order: Literal["newest", "urgency"] = "newest"
    reports: Literal["all", "open"] = Field("all", description='"open": those that are not signed yet.')
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0)


class StudyRequest(Request):
    """One study by its id."""

    study_id: str = Field(max_length=64)


class RenderRequest(Request):
    """One frame as 8-bit PNG. Without a window, the file's own VOI LUT, or else the full range of its values.

    `window_center` and `window_width` go together, in the units of `ImageFacts.units` (Hounsfield for CT);
    width at least 1 (PS3.3 C.11.2.1.2.1). `frame` counts from 1. `instance_id` is one of the study's images;
    without it, the one that the draft was made from.
    """

    study_id: str = Field(max_length=64)
    instance_id: str | None = Field(None, max_length=64)
    window_center: float | None = Field(None, allow_inf_nan=False, ge=-1e9, le=1e9)
    window_width: float | None = Field(None, allow_inf_nan=False, ge=1, le=1e9)
    frame: int = Field(1, ge=1)


class ReportRequest(Request):
    """One report by its id; its newest version."""

    report_id: str = Field(max_length=64)


class Sections(BaseModel):
    """The text of a report. "[to be completed ...]" is a blank: a report that still has one cannot be signed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    examination: Text
    technique: Text
    comparison: Text
    findings: Text
    impression: Text


class EditReportRequest(Request):
    """Replaces the sections of an unsigned report, if it is still at `expected_version` (else 409)."""

    report_id: str = Field(max_length=64)
    sections: Sections
    expected_version: int = Field(ge=1)


class SignReportRequest(Request):
    """Signs the version that the signer has read. `attest` must be true: "I have reviewed the images and this text"."""

    report_id: str = Field(max_length=64)
    signer: Person
    attest: bool
    expected_version: int = Field(ge=1)


class AddendumRequest(Request):
    """Adds text to a signed report; the signed text stays as it is."""

    report_id: str = Field(max_length=64)
    author: Person
    text: Text = Field(min_length=1)


class ExportReportRequest(Request):
    """The newest version as a file; all state the same findings.

    DICOM: SR ("sr"), and where findings have regions segmentation ("seg"), presentation state ("gsps"), key objects
    ("ko") and secondary capture ("sc"). FHIR R4B Bundle, PDF, plain text. "all": one ZIP with a manifest of hashes.
    A DICOM format that takes several objects comes as a ZIP as well.
    """

    report_id: str = Field(max_length=64)
    format: ExportFormat = "sr"


# --- answers ----------------------------------------------------------------------------------------------------------


class QualityCheck(BaseModel):
    """One measured property beside its limits. `value` is below (or above) `warn_at` or `reject_at` when it fails."""

    name: str  # "size", "blank", "contrast", "clipping", "sharpness", "noise"
    value: float
    warn_at: float
    reject_at: float
    higher_is_better: bool
    verdict: QualityVerdict
    reason: str  # one sentence for a person, also when accepted


class Quality(BaseModel):
    """Worst verdict of the checks. A rejected image is kept and shown; its report says that it is not diagnostic."""

    verdict: QualityVerdict
    score: float = Field(ge=0, le=1)  # 1: far inside every limit; 0: at or beyond a reject limit
    reasons: list[str]  # of the checks that warn or reject, and warnings from reading the file
    checks: list[QualityCheck]


class DeidentifiedAttribute(BaseModel):
    """One attribute that was changed. Never its value."""

    tag: str  # "(0010,0010)"
    keyword: str  # "PatientName"; "private" for private tags
    action: Literal["X", "Z", "D", "U", "C"]  # PS3.15 Annex E: removed, emptied, dummy, UID replaced, cleaned
    count: int


class Deidentification(BaseModel):
    """What PS3.15 Annex E de-identification did to the file before it was stored."""

    method: str
    removed: int
    emptied: int
    replaced: int
    uids_replaced: int
    dates_moved: int = 0
    private_removed: int
    kept: int
    attributes: list[DeidentifiedAttribute]
    warnings: list[str]  # e.g. that burned-in text was not looked for


class ImageFacts(BaseModel):
    """What the header says about the image; null where it says nothing."""

    rows: int
    columns: int
    frames: int
    spacing_mm: tuple[float, float] | None  # (between rows, between columns); null: do not measure on this image
    spacing_note: str  # where the spacing comes from, or why there is none
    photometric: Literal["MONOCHROME1", "MONOCHROME2", "RGB"]
    bits_stored: int
    units: str  # of values after the modality LUT: "HU" for CT, else "unspecified"
    value_min: float
    value_max: float
    window_center: float  # what `render` uses when no window is asked for
    window_width: float
    window_source: Literal["header", "voi-lut", "full-range"]


class TextPlace(BaseModel):
    """A rectangle of an image, in pixels from its top left corner, borders included. Never what is written there."""

    model_config = ConfigDict(extra="forbid")

    frame: int | None = Field(None, ge=1)  # null: in every frame
    left: int = Field(ge=0, lt=2**16)
    top: int = Field(ge=0, lt=2**16)
    right: int = Field(ge=0, lt=2**16)
    bottom: int = Field(ge=0, lt=2**16)


class FindingsStatus(BaseModel):
    """Which findings model was applied, or why none was. Nothing is ever guessed."""

    status: Literal["no model available", "applied"]
    reason: str
    model: str | None = None  # name and version, when applied


class Addendum(BaseModel):
    """Text added after signing."""

    author: str
    text: str
    added_at: datetime


Section = Literal["findings", "impression"]  # those that state findings


class LinkedSentence(BaseModel):
    """A sentence and what it states: `sections.<section>[start:end]`.

    `finding_ids` are of the evidence, in the order in which the sentence names them; `regions` and `codes` are theirs,
    for who marks them in the image or codes the sentence. All are empty for a sentence that states no finding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    section: Section
    start: int
    end: int
    finding_ids: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    codes: tuple[Code, ...] = ()


FaultKind = Literal[
    "unsupported finding",
    "wrong side",
    "wrong site",
    "wrong size",
    "flipped negation",
    "changed certainty",
    "prior that does not exist",
    "unknown words",
    "finding left out",
]


class Fault(BaseModel):
    """A sentence that the evidence does not support, and why; of a person's text it is a remark, not a refusal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    section: Section
    start: int
    end: int
    kind: FaultKind
    reason: str


class ReportResponse(Answer):
    """The newest version of a report. `content_sha256` covers text, state, signature and the version before it."""

    report_id: str
    study_id: str
    state: ReportState
    version: int
    sections: Sections
    findings_status: FindingsStatus
    blanks: int  # blanks still to fill before signing
    signer: str | None = None
    signed_at: datetime | None = None
    addenda: list[Addendum] = []
    evidence: EvidenceGraph = NO_EVIDENCE  # what the text states: of the models' findings, and of the reader's
    sentences: list[LinkedSentence] = []  # of findings and impression, with the findings that they state
    remarks: list[Fault] = []  # sentences that differ from what the models found, or compare with no prior
    content_sha256: str
    updated_at: datetime


class SeriesEntry(BaseModel):
    """One series of a study. `quality` counts its images by verdict."""

    series_uid: str  # the new one
    series_number: int | None
    modality: str
    body_part: str
    instances: list[str]  # ids, in order of Instance Number
    sop_instance_uids: list[str] = []  # of the same, as the regions of evidence name them
    quality: dict[QualityVerdict, int]


class StudyResponse(Answer):
    """One study: its series, and of the image that the draft was made from what was read and changed; and its report.

    A draft takes in what comes later; a person's text is never changed. So of images that came after a person's first
    edit (`num_after_editing`) and of those that came after signing (`num_after_signing`) the report says nothing.
    """

    study_id: str
    origin: Origin
    modality: str  # "CT", "MR", "CR", "DX"
    body_part: str  # DICOM Body Part Examined, or "UNKNOWN"
    received_at: datetime
    already_present: bool = False  # the same file was uploaded before: nothing was stored again
    study_date: str | None = None  # YYYYMMDD, moved by the patient's secret number of days
    series: list[SeriesEntry] = []
    drafted_from: str | None = None  # id of the image that the draft was first made from
    num_after_editing: int = 0
    num_after_signing: int = 0
    quality: Quality
    deidentification: Deidentification
    image: ImageFacts
    findings_status: FindingsStatus
    report: ReportResponse
