"""Intents, tones, citations, hand-offs and thumbs are told as counts, of the tenants and time that are asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from verticals.support.tables import FeedbackRow, HandoffRow, MessageRow, SessionRow
from verticals.support.watching import watch
from verticals.watched import Distribution, Period, Watch

NOW = datetime(2026, 11, 30, tzinfo=UTC)
OLD, LATE = NOW - timedelta(days=20), NOW - timedelta(days=1)


def message(n: int, at: datetime, role: str, text: str = "", *, tenant: str = "shop", **understood: Any) -> MessageRow:
    return MessageRow(
        **{"tenant": tenant, "session_id": "s", "number": n, "role": role, "content": text, "sources": []},
        **{"wants_answer": False, "understood": understood or None, "failures": 0, "created_at": at},
    )


def session_row(name: str, at: datetime) -> SessionRow:
    return SessionRow(
        tenant="shop", session_id=name, customer=None, state="open", num_messages=0, created_at=at, updated_at=at
    )


@pytest.fixture
def told(sessions: sessionmaker[Session]) -> Watch:
    with sessions.begin() as session:
        session.add_all(
            [
                message(1, OLD, "customer", intent="return", tone="calm"),
                message(2, LATE, "customer", intent="return", tone="angry"),
                message(3, LATE, "customer", intent=None, tone="calm"),
                message(4, LATE, "customer"),  # not read
                message(5, LATE, "assistant", "Within 30 days [1]."),
                message(6, LATE, "assistant", "I do not know."),
                message(7, LATE, "customer", tenant="other", intent="secret", tone="calm"),
                session_row("s", OLD),
                session_row("s2", LATE),
                HandoffRow(
                    **{"tenant": "shop", "handoff_id": "h", "session_id": "s2", "status": "waiting", "reason": "asked"},
                    **{"priority": "normal", "tone": "calm", "summary": "", "tried": [], "slots": []},
                    created_at=LATE,
                ),
                *(
                    FeedbackRow(
                        **{"tenant": "shop", "session_id": "s", "number": n, "rating": rating, "comment": ""},
                        **{"actor": "a", "created_at": LATE},
                    )
                    for n, rating in ((5, "up"), (6, "down"))
                ),
            ]
        )
    resources: Any = SimpleNamespace(sessions=sessions)
    return watch(resources, Period(("shop",), NOW - timedelta(days=35), NOW - timedelta(days=7), NOW))


def counts(one: Distribution) -> dict[str, tuple[int, int]]:
    pairs = zip(one.bins, zip(one.reference, one.now, strict=True), strict=True)
    return {name: pair for name, pair in pairs if any(pair)}


def test_inputs_and_outputs_are_counted(told: Watch) -> None:
    found = {one.name: counts(one) for one in told.distributions}

    assert found == {
        "intent": {"return": (1, 1), "not known": (0, 1)},
        "tone": {"calm": (1, 1), "angry": (0, 1)},
        "citation": {"cited": (0, 1), "not cited": (0, 1)},
        "hand-off": {"by itself": (1, 0), "handed over": (0, 1)},
    }


def test_thumbs_are_feedback(told: Watch) -> None:
    assert [(one.name, one.value, one.n) for one in told.feedback] == [("liked", 0.5, 2)]
