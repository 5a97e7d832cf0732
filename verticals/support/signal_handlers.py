"""A message that comes with the customer's voice or face: read it if they agreed, then answer. Ignores how it is read.

Off by default: without consent it is refused, and without a model for it too. The signal is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from verticals.contract import Context
from verticals.support import schemas as s
from verticals.support.consents import ConsentDesk, customer_of
from verticals.support.dialogue import Dialogue
from verticals.support.memory.store import Owner
from verticals.support.understanding.signals import Consent, SignalReader, ToneModel


class SignalHandlers:
    """One method per operation: `(request, context)` to events.

    Args:
        consents: What customers agreed to.
        dialogue: Answers.
        models: Reads tone, by modality.
    """

    def __init__(self, consents: ConsentDesk, dialogue: Dialogue, models: Mapping[s.Modality, ToneModel]) -> None:
        self._consents, self._dialogue, self._models = consents, dialogue, models

    def send_signal(self, request: s.SendSignalRequest, context: Context) -> Iterator[s.ChatEvent]:
        """Read the signal, then answer as `send_message` does; refused before the message is stored.

        Raises:
            PermissionDenied: the key is no customer's, or the customer has not agreed.
            Unavailable: no model of this kind.
            InvalidInput, NotFound, Conflict: as `SignalReader.read` and `Dialogue.send`.
        """
        owner = customer_of(context)
        reader = SignalReader(_Recorded(self._consents, owner), self._models)
        shares = reader.read(request.signal.content, request.modality, customer_id=owner.customer, at=datetime.now(UTC))
        message = s.SendMessageRequest.model_validate(request.model_dump(exclude={"modality", "signal"}))
        return self._dialogue.send(message, context, signals={request.modality: shares})


class _Recorded:
    """One customer's consents as `signals.Consents`."""

    def __init__(self, desk: ConsentDesk, owner: Owner) -> None:
        self._desk, self._owner = desk, owner

    def find(self, customer_id: str, modality: s.Modality) -> list[Consent]:
        """All that were ever recorded."""
        kept = self._desk.of(Owner(self._owner.tenant, customer_id))
        return [Consent(customer_id=customer_id, **dict(one)) for one in kept if one.modality == modality]
