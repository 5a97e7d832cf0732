"""Answers from the support agent on channels without a memory of their own. Ignores where messages come from.

The last turns of a conversation are kept for a day, under a hash of the conversation's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import JSON, DateTime, String, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from service.auth import Caller
from service.kit import Kit
from service.storage import Base
from verticals.support.schemas import ChatRequest, Message

KEPT = timedelta(days=1)
MAX_KEPT = 10  # messages: five turns are what the agent reads


class ChannelTalk(Base):
    """The last messages of a conversation."""

    __tablename__ = "channel_talks"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    talk_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    messages: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


@dataclass(frozen=True)
class Answered:
    """What the agent said, and what is to be remembered."""

    text: str
    hand_over: bool
    talk_id: str
    messages: tuple[Message, ...]


class Talks:
    """Conversations on `channel`s."""

    def __init__(self, kit: Kit, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._kit, self._now = kit, now

    def answer(self, channel: str, conversation: str, text: str, *, caller: Caller, request_id: str) -> Answered:
        """The agent's answer to the next message of a conversation; remember it when it is sure to be sent.

        Raises:
            InvalidInput, ValidationError: the message has no words, or is too long.
        """
        talk_id = hashlib.sha256(f"{channel}\n{conversation}".encode()).hexdigest()[:32]
        with self._kit.sessions() as session:
            row = session.get(ChannelTalk, (caller.tenant, talk_id))
            earlier = row.messages if row else []
        messages = [Message.model_validate(item) for item in (*earlier, {"role": "user", "content": text})]
        asked = ChatRequest(messages=messages, conversation_id=talk_id)
        found = self._kit.invoke("support", "chat", asked, caller=caller, request_id=request_id)
        said, hand_over = "", False
        for event in (wrapped.root for wrapped in cast(Iterator[Any], found)):
            said += event.text if event.type == "delta" else ""
            hand_over = hand_over or event.type in ("ticket", "handoff")
        kept = (*messages, Message(role="assistant", content=said[:16_000]))
        return Answered(said, hand_over, talk_id, kept[-MAX_KEPT:])

    def remember(self, session: Session, answered: Answered, *, tenant: str) -> None:
        """Keep the conversation, in the transaction that makes sure that the answer is sent."""
        now = self._now()
        session.execute(delete(ChannelTalk).where(ChannelTalk.expires_at < now))
        messages = [message.model_dump() for message in answered.messages]
        session.merge(ChannelTalk(tenant=tenant, talk_id=answered.talk_id, messages=messages, expires_at=now + KEPT))
