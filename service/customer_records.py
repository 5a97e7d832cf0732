"""The service's own stores that hold customers' words, for who shows or forgets them. Ignores the verticals' stores."""

from __future__ import annotations

from sqlalchemy.orm import Session, sessionmaker

from service.idempotency import IdempotencyRecords
from service.responses_store import ResponseRecords
from verticals.contract import CustomerRecords


def customer_records(sessions: sessionmaker[Session]) -> tuple[CustomerRecords, ...]:
    """All of them. A new store of such words must be listed here; tests/service/test_forgetting.py looks for others."""
    return (ResponseRecords(sessions), IdempotencyRecords(sessions))
