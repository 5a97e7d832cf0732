"""What the guideline calculators are asked and what they answer. Ignores the guidelines' tables."""

from __future__ import annotations

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


class FleischnerRequest(Inputs):
    """What was measured and what is known of the patient. Size: a diameter or a volume, not both."""

    density: Literal["solid", "part_solid", "ground_glass"] | None = None
    count: Literal["single", "multiple"] | None = None
    mean_diameter_mm: float | None = Field(None, gt=0, le=300, allow_inf_nan=False)
    volume_mm3: float | None = Field(None, gt=0, le=1e7, allow_inf_nan=False)
    solid_component_mm: float | None = Field(None, ge=0, le=300, allow_inf_nan=False)
    risk: Literal["low", "high"] | None = None
    age_years: int | None = Field(None, ge=0, le=130)
    known_cancer: bool | None = None
    immunosuppressed: bool | None = None
    screening: bool | None = None
    has_prior: bool | None = None


class Prior(BaseModel):
    """What an earlier CT, which exists, says of the same nodule."""

    model_config = ConfigDict(extra="forbid")

    mean_diameter_mm: float = Field(gt=0, le=300, allow_inf_nan=False)
    solid_component_mm: float | None = Field(None, ge=0, le=300, allow_inf_nan=False)
    category: Literal["2", "3", "4A", "4B", "4X"]
    months_before: float = Field(gt=0, le=600, allow_inf_nan=False)


class LungRadsRequest(Inputs):
    """The most suspicious nodule of a screening CT. `other_findings`: significant and no lung cancer (modifier S)."""

    exam: Literal["baseline", "follow_up", "prior_pending", "incomplete"] | None = None
    nodule: Literal["none", "benign_features", "solid", "part_solid", "ground_glass"] | None = None
    mean_diameter_mm: float | None = Field(None, gt=0, le=300, allow_inf_nan=False)
    solid_component_mm: float | None = Field(None, ge=0, le=300, allow_inf_nan=False)
    juxtapleural: bool | None = None
    change: Literal["new", "existing"] | None = None
    prior: Prior | None = None
    suspicious_features: bool | None = None
    other_findings: bool = False
