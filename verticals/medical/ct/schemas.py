"""What is asked and answered about a chest CT's nodules. Ignores the guidelines' own inputs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.medical.evidence import EvidenceGraph
from verticals.medical.schemas import NOTICE, FindingsStatus


class NodulesRequest(BaseModel):
    """The nodule candidates of one CT series.

    Attributes:
        series_uid: Needed where the study has several CT series.
        unvalidated: Show the candidates of a model that is not validated on patients.
    """

    model_config = ConfigDict(extra="forbid")

    study_id: str = Field(max_length=64)
    series_uid: str | None = Field(None, max_length=64)
    unvalidated: bool = False


class NoduleSize(BaseModel):
    """A candidate's sizes and how the model ranks it, 0 to 1, which is no probability."""

    finding_id: str
    center_mm: tuple[float, float, float]  # patient coordinates
    long_mm: float
    short_mm: float
    mean_mm: float  # of long and short axis: the diameter of Fleischner and Lung-RADS
    volume_mm3: float
    density: Literal["solid", "ground_glass"]
    score: float


class NodulesResponse(BaseModel):
    """Candidates, which no report holds. A person who sees one writes it into the report."""

    notice: str = NOTICE
    study_id: str
    series_uid: str
    validated: bool
    status: FindingsStatus
    evidence: EvidenceGraph
    sizes: list[NoduleSize]
