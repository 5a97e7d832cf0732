"""A reader that understands what it is told to, so that tests choose intent, scope and tone."""

from __future__ import annotations

from collections.abc import Mapping

from verticals.support.schemas import Tone
from verticals.support.understanding.intent import IntentReading
from verticals.support.understanding.messages import Understanding


class FakeReader:
    """The tone of the first telling word that a message holds; one intent for all, sure of it."""

    def __init__(
        self, tones: Mapping[str, Tone] | None = None, *, intent: str = "product_question", in_scope: bool = True
    ) -> None:
        self.tones, self.intent, self.in_scope = dict(tones or {}), intent, in_scope

    def read(self, text: str) -> Understanding:
        tone = next((tone for word, tone in self.tones.items() if word in text), Tone.CALM)
        intent = IntentReading(self.intent, confidence=0.9, familiarity=1.0, in_scope=self.in_scope)
        emotions = {} if tone is Tone.CALM else {str(tone): 0.8}
        return Understanding(intent, emotions, {one: float(one is tone) for one in Tone})


class Breaks:
    """Fails at its next `times` readings."""

    def __init__(self, times: int) -> None:
        self.times = times

    def read(self, text: str) -> Understanding:
        if self.times:
            self.times -= 1
            raise RuntimeError("the encoder is gone")
        return FakeReader().read(text)
