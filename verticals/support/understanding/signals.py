"""Voice and face as further sources of tone: consent first, then a model, then fusion with the text. Ignores pixels.

No model of either kind is shipped: none with known data and licence is to be had. Until one is configured every signal
is answered with "no model available". A signal is read and dropped; nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from verticals.contract import InvalidInput, PermissionDenied, Unavailable
from verticals.support.schemas import Modality, Tone

TEXT_WEIGHT = 2.0  # what a customer writes counts as much as voice and face together: a rule, not fitted


@dataclass(frozen=True)
class Consent:
    """A customer's recorded yes to one modality; times are aware of their zone.

    Attributes:
        customer_id: From the authenticated key.
        wording_version: Of the text that they agreed to.
        withdrawn_at: From when it no longer holds; None while it does.
    """

    customer_id: str
    modality: Modality
    wording_version: str
    given_at: datetime
    withdrawn_at: datetime | None = None

    def covers(self, customer_id: str, modality: Modality, at: datetime) -> bool:
        """Whether this customer's signal of this kind may be read at this moment."""
        open_still = self.withdrawn_at is None or at < self.withdrawn_at
        return (self.customer_id, self.modality) == (customer_id, modality) and self.given_at <= at and open_still


class Consents(Protocol):
    """Where consent is recorded."""

    def find(self, customer_id: str, modality: Modality) -> list[Consent]:
        """All that were ever recorded, withdrawn ones too."""


class ToneModel(Protocol):
    """Hears or sees tone in a signal."""

    @property
    def model_version(self) -> str: ...

    def read(self, signal: bytes) -> Mapping[Tone, float]:
        """Share of each tone, 0 or more, summing to 1.

        Raises:
            ValueError: the signal cannot be read.
        """


@dataclass(frozen=True)
class SignalReader:
    """Reads signals of customers who agreed to it.

    Args:
        models: By modality; none by default, which is "off".
    """

    consents: Consents
    models: Mapping[Modality, ToneModel]

    def read(self, signal: bytes, modality: Modality, *, customer_id: str, at: datetime) -> Mapping[Tone, float]:
        """Shares of tones in one signal.

        Raises:
            PermissionDenied: no consent of this customer covers it; checked before anything else.
            Unavailable: no model of this modality.
            InvalidInput: the signal is empty or the model cannot read it.
        """
        if not any(c.covers(customer_id, modality, at) for c in self.consents.find(customer_id, modality)):
            raise PermissionDenied(
                f"no recorded consent to reading tone from {modality}",
                field="modality",
                value=str(modality),
                remedy="Ask the customer first, or send text alone.",
            )
        if (model := self.models.get(modality)) is None:
            raise Unavailable(
                "no model available",
                field="modality",
                value=str(modality),
                remedy="Send text alone; tone is read from it.",
            )
        if not signal:
            raise InvalidInput("must not be empty", field="signal", value=0, remedy="Send the recording.")
        try:
            return model.read(signal)
        except ValueError as error:
            raise InvalidInput(str(error), field="signal", remedy="Send it in a form that the model reads.") from error


def fuse(text: Mapping[Tone, float], signals: Mapping[Modality, Mapping[Tone, float]]) -> dict[Tone, float]:
    """Weighted mean of the shares, text counting `TEXT_WEIGHT` times; without signals it is the text's."""
    weighed = [(TEXT_WEIGHT, text), *((1.0, shares) for shares in signals.values())]
    total = sum(weight for weight, _ in weighed)
    return {tone: sum(weight * shares.get(tone, 0.0) for weight, shares in weighed) / total for tone in Tone}
