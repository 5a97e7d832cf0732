"""Responses that clients asked to keep, per tenant, for a month. Ignores how they were made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ColumnElement, DateTime, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from service.auth import Caller
from service.storage import Base
from verticals.contract import InvalidInput, NotFound

KEPT = timedelta(days=30)
MAX_CHAIN = 200  # responses


class StoredResponse(Base):
    """A response with what was asked; `previous_id` is the one that it goes on from."""

    __tablename__ = "openai_responses"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    response_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str | None] = mapped_column(String(128))  # whose key asked; None: the tenant's own
    previous_id: Mapped[str | None] = mapped_column(String(64))
    conversation_id: Mapped[str | None] = mapped_column(String(128))  # the support agent's
    asked: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # input items
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


@dataclass(frozen=True)
class Chain:
    """What was said before: items, oldest first."""

    items: tuple[dict[str, Any], ...] = ()
    conversation_id: str | None = None


class ResponseStore:
    """Keeps, finds and deletes the responses of `caller`'s tenant and customer; others' do not exist."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        caller: Caller,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sessions, self._caller, self._now = sessions, caller, now

    def save(self, asked: list[dict[str, Any]], body: dict[str, Any]) -> None:
        """Keep a response; those that are too old go."""
        row = StoredResponse(
            tenant=self._caller.tenant,
            customer=self._caller.customer,
            response_id=body["id"],
            previous_id=body["previous_response_id"],
            conversation_id=body["trivium"].get("conversation_id"),
            asked=asked,
            body=body,
            expires_at=self._now() + KEPT,
        )
        with self._sessions.begin() as session:
            session.execute(delete(StoredResponse).where(StoredResponse.expires_at < self._now()))
            session.add(row)

    def get(self, response_id: str) -> dict[str, Any]:
        """The response's body.

        Raises:
            NotFound: the caller has none of this id.
        """
        with self._sessions() as session:
            return self._find(session, response_id, field="response_id").body

    def delete(self, response_id: str) -> None:
        """Forget a response. One that goes on from it can then not be continued.

        Raises:
            NotFound: the caller has none of this id.
        """
        with self._sessions.begin() as session:
            session.delete(self._find(session, response_id, field="response_id"))

    def chain(self, last_id: str | None) -> Chain:
        """All that was said up to the response `last_id`.

        Raises:
            NotFound: a response of the chain is not there.
            InvalidInput: the chain is too long.
        """
        found: list[StoredResponse] = []
        with self._sessions() as session:
            while last_id is not None:
                if len(found) == MAX_CHAIN:
                    raise InvalidInput(
                        f"may follow at most {MAX_CHAIN} responses",
                        field="previous_response_id",
                        remedy="Begin anew with a summary.",
                    )
                found.append(self._find(session, last_id, field="previous_response_id"))
                last_id = found[-1].previous_id
        items = tuple(item for row in reversed(found) for item in (*row.asked, *row.body["output"]))
        return Chain(items, found[0].conversation_id if found else None)

    def _find(self, session: Session, response_id: str, *, field: str) -> StoredResponse:
        row = session.get(StoredResponse, (self._caller.tenant, response_id))
        if row is None or row.customer != self._caller.customer:
            raise NotFound("no such response", field=field, remedy="It was not stored, or is no longer.")
        return row


class ResponseRecords:
    """The responses that a customer's keys asked for; see `verticals.contract.CustomerRecords`."""

    name = "responses"

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def export(self, tenant: str, customer: str) -> list[dict[str, Any]]:
        """What was asked and answered."""
        with self._sessions() as session:
            rows = session.scalars(select(StoredResponse).where(*_of(tenant, customer)))
            return [{"response_id": row.response_id, "asked": row.asked, "body": row.body} for row in rows]

    def erase(self, tenant: str, customer: str) -> int:
        """Delete them."""
        gone = delete(StoredResponse).where(*_of(tenant, customer)).returning(StoredResponse.response_id)
        with self._sessions.begin() as session:
            return len(session.scalars(gone).all())


def _of(tenant: str, customer: str) -> tuple[ColumnElement[bool], ...]:
    return (StoredResponse.tenant == tenant, StoredResponse.customer == customer)
