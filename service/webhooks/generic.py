"""The channel `generic`: any system that signs as Standard Webhooks. Ignores platforms with their own signature.

In: `{"conversation_id", "text"}`; out: an event `message.reply` to the address of events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.webhooks.channels import Immediate, Inbound, Reply, parse
from service.webhooks.events import EventSender
from service.webhooks.signatures import verify_standard
from verticals.contract import InvalidInput


class GenericMessage(BaseModel):
    """A customer's message."""

    model_config = ConfigDict(extra="forbid")

    conversation_id: Annotated[str, Field(min_length=1, max_length=200)]
    text: Annotated[str, Field(min_length=1, max_length=16_000)]


class GenericChannel:
    """See the module."""

    def __init__(self, *, secret: str, events: EventSender) -> None:
        self._secret, self._events = secret, events

    def receive(self, headers: Mapping[str, str], body: bytes, *, now: float) -> Inbound | Immediate:
        """See `Channel`."""
        event_id = verify_standard(self._secret, headers=headers, body=body, now=now)
        if not 0 < len(event_id) <= 200:
            raise InvalidInput("must have 1 to 200 characters", field="webhook-id", value=len(event_id))
        message = parse(GenericMessage, body)
        address = {"conversation_id": message.conversation_id}
        return Inbound(event_id, message.conversation_id, message.text, address)

    def send(self, reply: Reply) -> None:
        """See `Channel`."""
        data = {**reply.address, "text": reply.text, "hand_over": reply.hand_over}
        self._events.send(reply.reply_id, {"type": "message.reply", "data": data})
