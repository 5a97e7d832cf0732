"""What the guideline calculators share: the answer with the row of its source, or what they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.medical.schemas import NOTICE


class Ask(BaseModel):
    """An input that is missing, and what to state. Nothing is assumed in its place."""

    field: str
    question: str


class GuidelineAnswer(BaseModel):
    """A row of a guideline's table.

    Attributes:
        status: "asks": inputs are missing; "does not apply": the guideline is not for this; "no row": its table is
            silent, and a radiologist decides.
        category: Of Lung-RADS; of Fleischner there is none.
        row: The row, as the source has it; "" without one.
    """

    notice: str = NOTICE
    status: Literal["answered", "asks", "does not apply", "no row"]
    source: str
    category: str | None = None
    advice: str = ""
    row: str = ""
    asks: list[Ask] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class Inputs(BaseModel):
    """Unknown fields fail; a field that is not stated is unknown."""

    model_config = ConfigDict(extra="forbid")

    def missing(self, questions: dict[str, str], *fields: str) -> list[Ask]:
        """Of these fields, those that are not stated."""
        return [Ask(field=field, question=questions[field]) for field in fields if getattr(self, field) is None]


def asking(source: str, asks: Sequence[Ask]) -> GuidelineAnswer:
    """The answer that needs more."""
    return GuidelineAnswer(status="asks", source=source, asks=list(asks))


def outside(source: str, why: str) -> GuidelineAnswer:
    """The answer that the guideline is not for this."""
    return GuidelineAnswer(status="does not apply", source=source, notes=[why])


def silent(source: str, why: str) -> GuidelineAnswer:
    """The answer that no row fits."""
    return GuidelineAnswer(status="no row", source=source, notes=[why])
