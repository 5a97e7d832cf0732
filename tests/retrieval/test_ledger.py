"""The ledger gives back what it was given, to its tenant only, until it is told to forget."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from retrieval.ledger import Citation, Considered, Ledger, LedgerEntry

ENTRY = LedgerEntry(
    answer_id="a-1",
    conversation_id="c-1",
    customer_id="cust-1",
    query="return period",
    index_version="v1",
    candidates=(Considered(1, "p1", "d1", 0.031, 0.72), Considered(2, "p2", "d1", 0.016, 0.4)),
    citations=(Citation(2, "p2", 10, 42), Citation(1, "p1", 0, 7)),
    created_at=datetime(2026, 11, 22, 12, 30, tzinfo=UTC),
)


@pytest.fixture
def ledger(sessions: sessionmaker[Session]) -> Ledger:
    return Ledger(sessions)


def test_an_entry_is_read_back_as_it_was_recorded(ledger: Ledger) -> None:
    ledger.record(ENTRY, tenant="acme")

    assert ledger.read("a-1", tenant="acme") == ENTRY


def test_an_entry_without_customer_and_documents_is_kept_too(ledger: Ledger) -> None:
    entry = replace(ENTRY, customer_id=None, index_version=None, candidates=(), citations=())

    ledger.record(entry, tenant="acme")

    assert ledger.read("a-1", tenant="acme") == entry


def test_another_tenant_and_another_id_find_nothing(ledger: Ledger) -> None:
    ledger.record(ENTRY, tenant="acme")

    assert ledger.read("a-1", tenant="other") is None
    assert ledger.read("a-2", tenant="acme") is None


def test_an_answer_is_recorded_once(ledger: Ledger) -> None:
    ledger.record(ENTRY, tenant="acme")

    with pytest.raises(IntegrityError, match="(?i)unique constraint"):
        ledger.record(replace(ENTRY, citations=()), tenant="acme")


@pytest.mark.parametrize("whose", ["conversation", "customer"])
def test_what_is_forgotten_is_gone_and_the_rest_stays(ledger: Ledger, whose: str) -> None:
    other = replace(ENTRY, answer_id="a-2", conversation_id="c-2", customer_id="cust-2")
    ledger.record(ENTRY, tenant="acme")
    ledger.record(other, tenant="acme")
    ledger.record(ENTRY, tenant="other")

    if whose == "conversation":
        forgotten = ledger.forget_conversation("c-1", tenant="acme")
    else:
        forgotten = ledger.forget_customer("cust-1", tenant="acme")

    assert forgotten == 1
    assert ledger.read("a-1", tenant="acme") is None
    assert ledger.read("a-2", tenant="acme") == other
    assert ledger.read("a-1", tenant="other") == ENTRY
