"""What a reading room asks and is told: worklist, pixels, the prior, quality over time. Ignores storage."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, Field

from verticals.medical.schemas import Answer, ImageFacts, Origin, QualityVerdict, ReportState, Request, Urgency

MAX_SIDE = 2048  # pixels of a frame that is sent whole; a longer side is halved until it fits


class WorklistEntry(BaseModel):
    """One line of the worklist."""

    study_id: str
    report_id: str
    origin: Origin
    modality: str
    body_part: str
    received_at: datetime
    quality: QualityVerdict  # the worst of its images
    report_state: ReportState
    urgency: Urgency
    urgency_reason: str
    study_date: str | None = None
    num_instances: int = 1


class WorklistResponse(Answer):
    """A page of the worklist in the order that was asked for; `total` counts all pages."""

    studies: list[WorklistEntry]
    total: int
    limit: int
    offset: int


class PixelsRequest(Request):
    """One frame with all its grey levels, for a viewer that sets window and level itself; `frame` counts from 1.

    `instance_id` is one of the study's images; without it, the one that the draft was made from.
    """

    study_id: str = Field(max_length=64)
    instance_id: str | None = Field(None, max_length=64)
    frame: int = Field(1, ge=1)


class PixelsResponse(Answer):
    """One frame as an RGB PNG: the value of a pixel is `low + step * (256 * red + green)`, in `units`.

    `curve` is the file's own VOI LUT, if it has one: shades 0-255 at equal steps from `low` to `high`; without it the
    window of `ImageFacts` is linear (PS3.3 C.11.2.1.2.1). MONOCHROME1 is inverted after the window: `is_inverted`.
    """

    study_id: str
    instance_id: str
    sop_instance_uid: str  # what the regions of evidence name
    frame: int
    image: ImageFacts  # of the whole object: its window, spacing and frames
    rows: int  # of the stored frame
    columns: int
    reduced_by: int  # each sent pixel is the mean of so many by so many
    low: float
    high: float
    step: float
    is_inverted: bool
    is_colour: bool = False  # the PNG is the picture itself, to be shown as it is
    curve: list[int] | None
    png: str  # base64


class PriorRequest(Request):
    """The study to compare with one."""

    study_id: str = Field(max_length=64)


class PriorResponse(Answer):
    """The newest earlier study of the same patient and body part in this archive, or why there is none."""

    study_id: str | None
    modality: str | None = None
    study_date: str | None = None  # YYYYMMDD, moved as `StudyResponse.study_date`
    received_at: datetime | None = None
    reason: str


class WatchRequest(Request):
    """Quality, finding rates and overrides of the last `days`."""

    days: int = Field(90, ge=7, le=730)


class QualityWeek(BaseModel):
    """Studies received in the week from `start`, a Monday (UTC), by the verdict on their image."""

    start: date
    verdicts: dict[QualityVerdict, int]


class Rate(BaseModel):
    """A share with its 95 % score interval (Wilson 1927); null where there is nothing to count."""

    count: int
    total: int
    share: float | None
    low: float | None
    high: float | None


class KindRates(BaseModel):
    """One kind of finding.

    `found`: of the studies that a model read, those where it says present. `found_before`: the same in the period of
    the same length before. `has_moved`: the two intervals do not overlap. `removed`: of the signed reports where the
    model says present or uncertain, those that no longer state it so. `added`: of the signed reports of studies that
    a model read and where it does not, those that do.
    """

    kind: str
    found: Rate
    found_before: Rate
    has_moved: bool
    removed: Rate
    added: Rate


class WatchResponse(Answer):
    """Quality and drift. `read_by_model` and `signed` count the studies of the period."""

    days: int
    studies: int
    read_by_model: int
    signed: int
    weeks: list[QualityWeek]
    kinds: list[KindRates]
    removed: Rate  # over all kinds together
    added: Rate
