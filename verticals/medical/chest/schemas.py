"""What is asked about a chest film beyond its report. Ignores models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AttentionRequest(BaseModel):
    """Where the model looked for opacities in a study's film, as PNG over the film: no outline of anything."""

    model_config = ConfigDict(extra="forbid")

    study_id: str = Field(max_length=64)
    instance_id: str | None = Field(None, max_length=64)  # None: the film that the draft was first made from
