"""What is asked and answered around receiving: several files at once, refusals, and what waits for a person."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from verticals.contract import UploadedFile
from verticals.medical.schemas import Answer, Origin, Person, Request, TextPlace

Source = Literal["upload", "c-store", "stow", "folder", "pacs"]
HeldState = Literal["held", "released", "masked", "discarded"]
DiscardReason = Literal["identifies somebody", "wrong patient", "wrong study", "unreadable"]
MAX_MASKS = 100


class IngestFilesRequest(Request):
    """DICOM Part 10 files, and ZIP archives of them. Each object stands for itself: a bad one is refused alone."""

    files: list[UploadedFile] = Field(min_length=1)
    origin: Origin = "upload"
    source: Literal["upload", "stow"] = "upload"
    study_uid: str = Field("", max_length=64)  # as sent, of the study that every object must be of; empty: of any


class PageRequest(Request):
    """A page, newest first."""

    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0)


class HeldRequest(Request):
    """One held object by its id."""

    held_id: str = Field(max_length=64)


class HeldImageRequest(HeldRequest):
    """One frame as it is, text and all. `frame` counts from 1."""

    frame: int = Field(1, ge=1)


class ReleaseRequest(HeldRequest):
    """Takes the object in. Without `masks` the person states that nothing in the pixels identifies anybody.

    `attest` must be true: "I have looked at every frame".
    """

    name: Person
    attest: bool
    masks: list[TextPlace] = Field([], max_length=MAX_MASKS)  # painted over with the image's lowest value


class DiscardRequest(HeldRequest):
    """Deletes the pixels; the object is refused when it is sent again. The reason is one of a list: no free text."""

    name: Person
    reason: DiscardReason = "identifies somebody"


class ObjectOutcome(BaseModel):
    """What became of one object. Names of files are not repeated: they may be a patient's."""

    number: int  # in the order of arrival, from 1; the objects of an archive count one by one
    status: Literal["stored", "already present", "held", "refused"]
    id: str  # instance id; held id; refusal id
    study_id: str | None = None
    reason: str | None = None  # tag, value and rule, when refused or held
    http_status: int = 200  # what the object alone would have been answered with
    sop_class_uid: str = ""  # as sent, where it could be read: for the sender
    sop_instance_uid: str = ""


class IngestFilesResponse(Answer):
    """Every object's outcome, and the studies that changed."""

    objects: list[ObjectOutcome]
    studies: list[str]
    stored: int
    already_present: int
    held: int
    refused: int


class Refusal(BaseModel):
    """One object that was refused."""

    refusal_id: str
    source: Source
    reason: str
    received_at: datetime


class RefusalsResponse(Answer):
    """A page, newest first; `total` counts all pages."""

    refusals: list[Refusal]
    total: int


class HeldObject(BaseModel):
    """One object that waits, or waited, for a person."""

    held_id: str
    modality: str
    origin: Origin
    reason: str
    places: list[TextPlace]
    frames: int
    state: HeldState
    received_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    discarded_because: DiscardReason | None = None


class HeldResponse(Answer):
    """A page, newest first; `total` counts all pages."""

    objects: list[HeldObject]
    total: int
