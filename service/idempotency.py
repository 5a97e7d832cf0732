"""Keys under which a request is carried out once: its answer is kept for a day and given again. Ignores HTTP.

Follows draft-ietf-httpapi-idempotency-key-header-07. The row is inserted before the work begins and its primary key is
the lock, so two processes cannot both begin. A request that fails leaves no row: it may be sent again. One whose
process was killed is not carried out again, as nobody knows how far it came, and after a while its sender is told so;
unless all that it does is one transaction, which notes here that it was committed (docs/decisions/0034).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, DateTime, String, Text, Update, and_, delete, false, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from service.audit_tables import AuditEntry
from service.storage import Base
from verticals.contract import Conflict, InvalidInput

FIELD = "Idempotency-Key"
MAX_KEY_CHARS = 255
MAX_ANSWER_CHARS = 2**20
KEPT = timedelta(days=1)
ABANDONED = timedelta(minutes=10)  # after this a request that was not finished counts as one whose process died
_LOOK = "Look at what it was to change; to have it carried out again, take a new key."


class InProgress(Conflict):
    """A request with this key is being carried out."""

    retry_after_s = 1


class IdempotentRequest(Base):
    """A request that was begun. Key and body are kept as hashes; the answer as it was sent, if it can be sent again."""

    __tablename__ = "idempotent_requests"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str | None] = mapped_column(String(128))  # whose key asked; None: the tenant's own
    request_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]  # None while in progress
    media_type: Mapped[str | None] = mapped_column(String(128))
    answer: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(String(64))  # by which the audit trail calls it; of who may do it
    recorded: Mapped[bool | None]  # whether its one transaction was committed; None: it may have had others
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


@dataclass(frozen=True)
class StoredAnswer:
    """An answer as it was sent."""

    status: int
    media_type: str
    text: str


@dataclass(frozen=True)
class Claim:
    """The right to carry out a request; it must be finished or released."""

    tenant: str
    key_sha256: str
    request_id: str | None = None  # another's, once it was taken over


class IdempotencyKeys:
    """Begins, ends and repeats requests. A key means nothing to other API keys, which may open other scopes."""

    def __init__(
        self, sessions: sessionmaker[Session], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._sessions, self._now = sessions, now

    def begin(
        self,
        tenant: str,
        key_id: str,
        key: str,
        request: bytes,
        *,
        customer: str | None = None,
        request_id: str | None = None,
        is_whole: bool = False,
    ) -> StoredAnswer | Claim:
        """The answer that `request` got under this key, or the right to carry it out.

        Args:
            customer: Whose API key asks, if it is a customer's.
            request_id: What the audit trail calls the request; no other has it.
            is_whole: All that it does, if anything, is in one transaction, which `record` notes. Then it is known
                whether a process that ended had carried it out, and if not, it is carried out now.

        Raises:
            InvalidInput: the key is too long, or was used for another request.
            InProgress: it is being carried out.
            Conflict: it was carried out, and its answer was not kept (a stream, a file, or too long); or it was begun
                by a process that ended.
        """
        if not 0 < len(key) <= MAX_KEY_CHARS:
            raise InvalidInput(f"must have 1 to {MAX_KEY_CHARS} characters", field=FIELD, value=len(key))
        claim = Claim(tenant, _sha256(f"{key_id}\n{key}".encode()), request_id)
        found = self._insert(claim, _sha256(request), customer, is_whole=is_whole)
        if found is None:
            return claim
        if found.request_sha256 != _sha256(request):
            raise InvalidInput("was used for another request", field=FIELD, remedy="Take a new key.")
        if found.status is None:
            if is_whole and self._take_over(claim, found.request_id):
                return claim
            self._refuse_abandoned(claim, found)
            remedy = f"Ask again in a moment; after {ABANDONED // timedelta(minutes=1)} minutes it counts as ended."
            raise InProgress("a request with this key is in progress", field=FIELD, remedy=remedy)
        if found.answer is None:
            raise Conflict("the request was carried out; its answer is not kept", field=FIELD)
        return StoredAnswer(found.status, found.media_type or "", found.answer)

    def _insert(
        self, claim: Claim, request_sha256: str, customer: str | None, *, is_whole: bool
    ) -> IdempotentRequest | None:
        """Insert the row; the one that is there if it is."""
        now = self._now()
        row = IdempotentRequest(
            tenant=claim.tenant,
            key_sha256=claim.key_sha256,
            customer=customer,
            request_sha256=request_sha256,
            request_id=claim.request_id,
            recorded=False if is_whole else None,
            expires_at=now + ABANDONED,
        )
        ended = and_(IdempotentRequest.status.is_not(None), IdempotentRequest.expires_at < now)
        forgotten = IdempotentRequest.expires_at < now - KEPT
        try:
            with self._sessions.begin() as session:
                session.execute(delete(IdempotentRequest).where(or_(ended, forgotten)))
                session.add(row)
        except IntegrityError:
            with self._sessions() as session:
                found = session.get(IdempotentRequest, (claim.tenant, claim.key_sha256))
            if found is not None:
                return found
            return self._insert(claim, request_sha256, customer, is_whole=is_whole)  # gone meanwhile: it failed
        return None

    def _take_over(self, claim: Claim, begun_as: str | None) -> bool:
        """Whether the request is the claim's now: who had begun it has ended, or will find that it may not go on."""
        free = (*self._ended(replace(claim, request_id=begun_as)), IdempotentRequest.recorded.is_(False))
        new = {"request_id": claim.request_id, "expires_at": self._now() + ABANDONED}
        with self._sessions.begin() as session:
            return _changed(session, update(IdempotentRequest).where(*free).values(new))

    def record(self, claim: Claim, session: Session) -> None:
        """Note, in the transaction that carries out a whole request, that it does.

        Raises:
            Conflict: another has taken the request over; the transaction must not be committed.
        """
        if not _changed(session, update(IdempotentRequest).where(*_held(claim)).values(recorded=True)):
            raise Conflict("another process carries the request out", field=FIELD, remedy="Ask again in a moment.")

    def _ended(self, claim: Claim) -> tuple[ColumnElement[bool], ...]:
        return (*_held(claim), IdempotentRequest.status.is_(None), IdempotentRequest.expires_at < self._now())

    def _refuse_abandoned(self, claim: Claim, found: IdempotentRequest) -> None:
        """Raises Conflict: the process that began it has ended; the row or the audit trail may know what it did."""
        ended = self._ended(replace(claim, request_id=found.request_id))
        named = AuditEntry.content.contains(json.dumps(found.request_id)) if found.request_id else false()
        with self._sessions() as session:
            if session.scalar(select(IdempotentRequest.tenant).where(*ended)) is None:
                return
            entry = select(AuditEntry.sequence).where(AuditEntry.tenant == claim.tenant, named).limit(1)
            is_done = found.recorded or session.scalar(entry) is not None
        if is_done:
            raise Conflict("the request was carried out; its answer is not kept", field=FIELD, remedy=_LOOK)
        rule = "the process that carried the request out ended before it told the end: it may have been carried out"
        raise Conflict(rule, field=FIELD, remedy=_LOOK)

    def finish(self, claim: Claim, answer: StoredAnswer | None) -> None:
        """Keep the answer; None if it cannot be given again."""
        kept = answer if answer and len(answer.text) <= MAX_ANSWER_CHARS else None
        with self._sessions.begin() as session:
            row = session.scalar(select(IdempotentRequest).where(*_held(claim)))
            if row is not None:
                row.status, row.expires_at = (answer.status if answer else 200), self._now() + KEPT
                row.media_type, row.answer = (kept.media_type, kept.text) if kept else (None, None)

    def release(self, claim: Claim) -> None:
        """Forget a request that failed."""
        with self._sessions.begin() as session:
            session.execute(delete(IdempotentRequest).where(*_held(claim)))


class IdempotencyRecords:
    """Kept answers to a customer's keys, or to others' that name the customer; see `verticals.contract`."""

    name = "kept_answers"

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def export(self, tenant: str, customer: str) -> list[dict[str, Any]]:
        """The answers; those to the shop's staff are the shop's, and their content stands in the other records."""
        mine = (IdempotentRequest.customer == customer, IdempotentRequest.answer.is_not(None))
        with self._sessions() as session:
            rows = session.scalars(select(IdempotentRequest).where(IdempotentRequest.tenant == tenant, *mine))
            return [{"status": row.status, "answer": row.answer} for row in rows]

    def erase(self, tenant: str, customer: str) -> int:
        """Drop the answers; the requests stay known, so that none is carried out twice."""
        named = IdempotentRequest.answer.contains(json.dumps(customer, ensure_ascii=False), autoescape=True)
        whose = or_(IdempotentRequest.customer == customer, named)
        drop = update(IdempotentRequest).where(IdempotentRequest.tenant == tenant, whose)
        kept = drop.where(IdempotentRequest.answer.is_not(None)).returning(IdempotentRequest.key_sha256)
        with self._sessions.begin() as session:
            return len(session.scalars(kept.values(answer=None, media_type=None)).all())


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """The claim's row, as long as it is the claim's."""
    row = IdempotentRequest
    return row.tenant == claim.tenant, row.key_sha256 == claim.key_sha256, row.request_id == claim.request_id


def _changed(session: Session, change: Update) -> bool:
    """Whether a change of one row found it."""
    return session.scalar(change.returning(IdempotentRequest.tenant)) is not None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
