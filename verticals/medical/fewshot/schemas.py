"""What is asked and answered about few-shot findings of a site's own. Ignores how they are learned."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from verticals.contract import UploadedFile
from verticals.medical.schemas import Answer, Person, Request, Text

POLICY = "few-shot findings are shown beside a study and never enter a report"
MethodName = Literal["linear probe", "prompt tuning", "adapter"]
Modality = Literal["CT", "MR", "CR", "DX", "OP"]
Step = Literal["train", "enable", "disable", "roll back"]


def _one_line(text: str) -> str:
    """Without what a path, a list or a log would trip over."""
    text = " ".join(text.split())
    if len(text) < 2 or not all(char.isalnum() or char in " -_()" for char in text):
        raise ValueError("must be 2 to 64 letters, digits, spaces, hyphens, underscores or brackets")
    return text


FindingName = Annotated[str, Field(max_length=64), AfterValidator(_one_line)]
Version = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Reason = Annotated[Text, Field(min_length=10, max_length=500)]


class TrainFewShotRequest(Request):
    """A ZIP archive of images (DICOM, PNG, JPEG) and labels.csv: `file,label,patient[,split]`.

    `label` is 1 or present, 0 or absent; `split` is train or validation, and without the column half of the patients
    validate. `patient` is any name that tells patients apart, and is not kept.

    Attributes:
        finding: The site's own name of it.
        body_part: As Body Part Examined (0018,0015) has it.
        licence: What the images may be used for: it goes into the card.
    """

    file: UploadedFile
    finding: FindingName
    modality: Modality
    body_part: str = Field(pattern=r"^[A-Z][A-Z0-9 _]{0,15}$")
    licence: Text = Field(min_length=2, max_length=200)


class FewShotRequest(Request):
    """All of this site's few-shot findings."""


class DisableFewShotRequest(Request):
    """Take a finding out of use; its versions stay."""

    finding: FindingName
    name: Person
    reason: Reason


class RollBackFewShotRequest(DisableFewShotRequest):
    """Take the last enabling or disabling of a finding back."""


class EnableFewShotRequest(DisableFewShotRequest):
    """Bring one version of a finding into use, in place of the one that is."""

    version: Version


class ReadFewShotRequest(Request):
    """What the enabled few-shot findings say of a study; `instance_id` and `frame` choose another image of it."""

    study_id: str = Field(max_length=64)
    instance_id: str | None = Field(None, max_length=64)
    frame: int | None = Field(None, ge=1)


class Figure(BaseModel):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Figures(BaseModel):
    """What a version was measured to do on its validation images.

    `gain` is its AUC less the linear probe's on the same images, paired. Coverage is of sets at 90 %. `roc` is pairs of
    false and true positive rate. `present` and `absent` count the images of each label by calibrated probability, in
    twenty equal steps.
    """

    auc: Figure
    gain: Figure | None
    calibration_error: Figure
    coverage_present: Figure
    coverage_absent: Figure
    one_answer: Figure
    gate_passed: Figure
    roc: list[tuple[float, float]]
    present: list[int]
    absent: list[int]


class Counts(BaseModel):
    """Of one side: images, patients, and patients with an image that has the finding or has it not."""

    images: int
    patients: int
    present: int
    absent: int


class FewShotVersion(BaseModel):
    """One method's model of one set of images. `refusals` says what forbids to enable it; none: it may be."""

    version: str
    method: MethodName
    modality: Modality
    body_part: str
    licence: str
    data_sha256: str
    train: Counts
    validation: Counts
    figures: Figures
    refusals: list[str]
    limits: str


class TrainedVersion(FewShotVersion):
    """A version in the list of its finding."""

    trained_at: datetime
    enabled: bool


class FewShotSwitch(BaseModel):
    """One enabling, disabling or rolling back; `version` is in use after it, null: none."""

    step: Step
    version: str | None
    name: str
    reason: str
    at: datetime


class FewShotFinding(BaseModel):
    """A finding with its versions, newest first, and what was switched, newest first."""

    finding: str
    enabled: str | None
    versions: list[TrainedVersion]
    switches: list[FewShotSwitch]


class FindingResponse(Answer):
    """One finding as it is now."""

    finding: FewShotFinding


class FewShotResponse(Answer):
    """Every finding, by name. `least_auc`: what the lower bound of a version's AUC must reach."""

    least_auc: float
    findings: list[FewShotFinding]


class FewShotReading(BaseModel):
    """What one enabled version says of one image.

    `prob` is calibrated on the validation images, whose share with the finding is `share_present`: elsewhere it holds
    only where as many have it. An empty set is a doubt, as is one of both answers. `refusal` says why it was not read.
    """

    finding: str
    version: str
    method: MethodName
    prob: float | None = None
    confidence_set: list[Literal["present", "absent"]] = []
    share_present: float
    auc: Figure
    refusal: str = ""


class ReadFewShotResponse(Answer):
    """Research results of this site's own models. None enters a report: who agrees with one writes it."""

    study_id: str
    instance_id: str
    frame: int
    policy: str = POLICY
    readings: list[FewShotReading]
