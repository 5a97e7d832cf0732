"""What goes in and out of sources: a text to file, and what each source of a customer adds. Ignores how it is made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.finance.histories.events import Reference
from verticals.finance.sources.names import SOURCES as SOURCES
from verticals.finance.sources.names import Mode as Mode
from verticals.finance.sources.names import Source as Source

MAX_TEXT_CHARS = 4000


class SourceAspect(BaseModel):
    """Something in a source that raised the risk."""

    name: str = Field(examples=["num_late_fees", "order", "sentence_2_of_3"])
    text: str = Field(examples=["fees for late payment"])


class SourcePart(BaseModel):
    """What one source adds to a score: a reason group of its own. It is bounded, and 0 unless it is used."""

    source: Source
    label: str
    state: Literal["used", "shadow", "missing", "off"] = Field(
        description="`shadow`: computed and shown in `shadow_logit`, without any effect. `missing`: nothing to read. "
        "`off`: the policy does not read it."
    )
    because: str = Field(description="Why it is not used; empty if it is.")
    logit: float = Field(description="What it adds to ln(odds bad:good); exactly 0 unless used.")
    points: float = Field(description="The same in points; negative lowers the score.")
    shadow_logit: float | None = Field(description="What it would add; null unless in the shadow.")
    bound: float | None = Field(description="The largest effect either way, in ln(odds); null without a model.")
    as_of: datetime | None = Field(description="When it was filed; of a history, its last event. null: not read.")
    aspects: list[SourceAspect] = Field(description="What in it raised the risk most, the strongest first.")
    model_version: str | None
    synthetic: bool = Field(description="Whether the term was learned from simulated outcomes.")


class TextRequest(BaseModel):
    """What a customer wrote in an application. It is read into numbers and forgotten: the text is not stored."""

    model_config = ConfigDict(extra="forbid")

    customer: Reference
    text: Annotated[str, Field(min_length=20, max_length=MAX_TEXT_CHARS)] = Field(
        description="The applicant's own words about purpose, work and plans, in a language that the embedder reads."
    )


class TextResponse(BaseModel):
    """What became of the text."""

    customer: str
    evidence: str = Field(description="Reference of the numbers that were kept.")
    reader_version: str = Field(description="The embedder.")
    part: SourcePart = Field(description="What it would add to a score under the policy in force.")
    synthetic: bool = Field(description="Whether the customer is one of the bank simulator's.")


class SourcesRequest(BaseModel):
    """Whose sources to show."""

    model_config = ConfigDict(extra="forbid")

    customer: Reference


class SourcesResponse(BaseModel):
    """What a score of this customer reads now, beside the application's table."""

    customer: str
    parts: list[SourcePart]
    policy_version: str
    synthetic: bool = Field(description="Whether the customer is one of the bank simulator's.")
