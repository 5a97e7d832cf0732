"""The ledger keeps each model's steps in order and adds up what processes saw, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session, sessionmaker

from service.rollout_ledger import Step, add_counts, append, counts_of, differences_of, newest_steps, steps_of
from service.shadows import Difference
from tests.intruder import between, intruder
from verticals.contract import Conflict

FIRST = Step("a.b", 1, "shadow", "2" * 12, "1" * 12, 0.0, "ops", "Ada", "why", datetime(2026, 11, 30, tzinfo=UTC))


def test_the_newest_step_holds_and_a_number_is_taken_once(sessions: sessionmaker[Session]) -> None:
    canary = replace(FIRST, number=2, state="canary", share=0.25)
    with sessions.begin() as session:
        append(session, FIRST)
        append(session, replace(FIRST, model="c.d"))
        append(session, canary)

    with sessions() as session:
        assert newest_steps(session) == {"a.b": canary, "c.d": replace(FIRST, model="c.d")}
        assert steps_of(session, "a.b", limit=9) == [canary, FIRST]
    with pytest.raises(Conflict, match="at the same time"), sessions.begin() as session:
        append(session, canary)


def test_what_two_processes_saw_is_added_up(sessions: sessionmaker[Session]) -> None:
    step = ("a.b", 1)
    for number in range(2):
        with sessions.begin() as session:
            add_counts(session, step, {"old": 3, "different": 1}, [Difference(f"r{number}", {"points": (1, 2)})])

    with sessions() as session:
        assert counts_of(session, step) == {"old": 6, "different": 2}
        assert differences_of(session, step, limit=9) == [
            Difference("r1", {"points": [1, 2]}),
            Difference("r0", {"points": [1, 2]}),
        ]
        assert counts_of(session, ("a.b", 2)) == {}


def test_what_two_processes_see_first_at_once_is_added_up(sessions: sessionmaker[Session]) -> None:
    engine, step = sessions.kw["bind"], ("a.b", 1)

    def see(by: sessionmaker[Session], count: int) -> None:
        with by.begin() as session:
            add_counts(session, step, {"old": count}, [])

    with intruder(engine) as other, between(engine, lambda: see(other, 1), after="UPDATE model_trial_counts"):
        see(sessions, 2)

    with sessions() as session:
        assert counts_of(session, step) == {"old": 3}
