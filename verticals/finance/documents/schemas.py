"""What goes in and out of the document check. Ignores how an image is read."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.contract import UploadedFile
from verticals.finance.histories.events import Reference
from verticals.finance.schemas import ApplicationId


class DocumentRequest(BaseModel):
    """An image of a passport, identity card or Chinese resident identity card, and what the applicant stated.

    The image is read and forgotten; neither it nor any of its fields is stored. With a `customer` the features are.
    """

    model_config = ConfigDict(extra="forbid")

    file: UploadedFile
    application_id: ApplicationId | None = None
    customer: Reference | None = Field(
        default=None, description="Whose it is: the features, and nothing else, are kept for scores of this customer."
    )
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="The applicant's full name; the order of its parts does not count."
    )
    birth_date: date | None = Field(default=None, description="Not after today.")
    document_number: Annotated[str, Field(min_length=1, max_length=30, pattern=r"^[A-Za-z0-9 -]+$")] | None = None


class DocumentField(BaseModel):
    """A field as read: dates in ISO form, names in capitals, sex F, M or X."""

    name: str
    value: str
    confidence: float = Field(ge=0, le=1, description="An order of sureness, not a frequency of being right.")
    source: Literal["both", "zone", "visual"] = Field(description="Where it stands: both zones, or one of them.")


class MachineZone(BaseModel):
    """State of the machine-readable zone (ICAO Doc 9303)."""

    size: Literal["TD1", "TD2", "TD3"]
    checks: dict[str, bool] = Field(description="Each check digit, by what it covers: whether it holds.")
    repaired: list[str] = Field(description="Parts with letters mended where the check digits prove it.")
    problems: list[str] = Field(description="Part, length and rule; never a value.")


class DocumentFeature(BaseModel):
    """A number for the score; null = not stated, not shown or not read."""

    name: str
    value: float | None
    meaning: str


class DocumentFinding(BaseModel):
    """Something that a person should know."""

    code: str = Field(examples=["D03"])
    severity: Literal["info", "review", "alert"]
    field: str | None
    text: str
    text_zh: str


class DocumentResponse(BaseModel):
    """What the document says, and how it agrees with the application and with itself."""

    application_id: str
    kind: Literal["passport", "identity_card", "resident_card", "unknown"]
    fields: list[DocumentField]
    zone: MachineZone | None = Field(description="null when the document shows none, or none could be read.")
    features: list[DocumentFeature]
    findings: list[DocumentFinding] = Field(description="The gravest first; empty when nothing stands out.")
    evidence: str | None = Field(description="Reference of the features that were kept; null without a customer.")
    input_sha256: str = Field(description="Of the image and the stated fields, as in the audit trail.")
    reader_version: str
    note: str = "Read from an image: a match does not prove that the document is genuine or the bearer its holder."
