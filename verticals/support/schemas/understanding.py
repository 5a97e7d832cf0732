"""What was understood of a customer's message and of their session so far. Ignores how it is read."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Tone(StrEnum):
    """How the customer sounds."""

    CALM = "calm"
    FRUSTRATED = "frustrated"
    ANGRY = "angry"
    SAD = "sad"
    ANXIOUS = "anxious"
    HAPPY = "happy"


class Modality(StrEnum):
    """What a signal beside the text is."""

    VOICE = "voice"
    FACE = "face"


class SlotValue(BaseModel):
    """A value that the customer gave for a slot of one of the shop's services."""

    service: str
    slot: str
    value: str


class Understood(BaseModel):
    """The reading of one message, and the slots that its session has filled after it.

    `intent`, `confidence` and `in_scope` are None where no model read the message: none is prepared, or it reads no
    such language. `tones` sum to 1; `emotions` are the probabilities of those that hold.
    """

    intent: str | None = None
    confidence: Share | None = None
    in_scope: bool | None = None
    tone: Tone = Tone.CALM
    tones: dict[Tone, Share] = Field(default_factory=dict)
    emotions: dict[str, Share] = Field(default_factory=dict)
    slots: list[SlotValue] = Field(default_factory=list)
