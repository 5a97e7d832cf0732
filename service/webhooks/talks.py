"""A channel's conversation as a session of the support agent. Ignores where messages come from.

Which session a conversation has is kept for a week after its last message, under a hash of the conversation's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from pydantic import BaseModel
from sqlalchemy import DateTime, String, delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from service.auth import Caller
from service.kit import Kit
from service.storage import Base
from verticals.support import schemas as s

KEPT = timedelta(days=7)
SCOPES = ("support.create_session", "support.get_session", "support.send_message", "support.resume_session")


class ChannelTalk(Base):
    """The session of a conversation."""

    __tablename__ = "channel_talks"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    talk_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(128))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


@dataclass(frozen=True)
class Answered:
    """What the agent said; nothing while a person has the session."""

    text: str
    hand_over: bool


class Talks:
    """Conversations on channels."""

    def __init__(self, kit: Kit, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._kit, self._now = kit, now

    def open(self, channel: str, conversation: str, *, caller: Caller, request_id: str) -> Talk:
        """The conversation's session; a new one if it has none, or a closed one."""
        talk_id = hashlib.sha256(f"{channel}\n{conversation}".encode()).hexdigest()
        now = self._now()
        with self._kit.sessions.begin() as db:
            db.execute(delete(ChannelTalk).where(ChannelTalk.expires_at < now))
            row = db.get(ChannelTalk, (caller.tenant, talk_id))
            if row is not None:
                row.expires_at = now + KEPT
        if row is not None:
            talk = Talk(self._kit, caller, request_id, row.session_id)
            if talk.history().state != s.SessionState.CLOSED:
                return talk
        talk = Talk(self._kit, caller, request_id, "")
        made = cast(s.Session, talk.invoke("create_session", s.CreateSessionRequest()))
        new = ChannelTalk(tenant=caller.tenant, talk_id=talk_id, session_id=made.session_id, expires_at=now + KEPT)
        try:
            with self._kit.sessions.begin() as db:
                if row is not None:
                    mine = (ChannelTalk.tenant == caller.tenant, ChannelTalk.talk_id == talk_id)
                    db.execute(delete(ChannelTalk).where(*mine, ChannelTalk.session_id == row.session_id))
                db.add(new)
        except IntegrityError:  # another message of the conversation was first: both belong to its session
            return self.open(channel, conversation, caller=caller, request_id=request_id)
        return Talk(self._kit, caller, request_id, made.session_id)


@dataclass(frozen=True)
class Talk:
    """One conversation."""

    kit: Kit
    caller: Caller
    request_id: str
    session_id: str

    def answer(self, text: str, *, is_retry: bool = False) -> Answered:
        """The agent's answer to the next message. `is_retry`: it may have been sent before, and is not sent twice.

        Raises:
            InvalidInput, ValidationError: the message has no words, or is too long.
        """
        if is_retry and (known := self._answer_of(text)) is not None:
            return known
        return self._heard("send_message", s.SendMessageRequest(session_id=self.session_id, content=text))

    def _answer_of(self, text: str) -> Answered | None:
        """What was answered to `text` if it is the session's last message; None if it is not there."""
        history = self.history()
        last = max((m.number for m in history.messages if m.role == "customer"), default=None)
        if last is None or next(m.content for m in history.messages if m.number == last) != text:
            return None
        if history.unanswered:
            return self._heard("resume_session", s.SessionRequest(session_id=self.session_id))
        said = [m.content for m in history.messages if m.number > last and m.role == "assistant"]
        return Answered("\n".join(said), history.state == s.SessionState.WAITING)

    def history(self) -> s.SessionHistory:
        """The session."""
        return cast(s.SessionHistory, self.invoke("get_session", s.SessionRequest(session_id=self.session_id)))

    def invoke(self, operation: str, request: BaseModel) -> Any:
        """An operation of the support vertical, for this conversation's caller."""
        return self.kit.invoke("support", operation, request, caller=self.caller, request_id=self.request_id)

    def _heard(self, operation: str, request: BaseModel) -> Answered:
        said, hand_over = "", False
        for event in (wrapped.root for wrapped in cast(Iterator[Any], self.invoke(operation, request))):
            said += event.text if event.type == "delta" else ""
            hand_over = hand_over or event.type in ("ticket", "handoff")
        return Answered(said, hand_over)
