"""An alarm goes on after a while, stays on until its signal calms down for a while, and outlives a restart."""

from __future__ import annotations

from contextlib import suppress

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from service.operations.alarms import AlarmBook
from service.operations.rules import Rule
from service.operations.signals import Signal
from service.operations.tables import Alarm
from tests.intruder import between, intruder
from tests.service.operations.conftest import at, make_rule
from verticals.contract import Conflict, NotFound

Sessions = sessionmaker[Session]
STEADY = {"kind": "median", "window_s": 10_000, "on": 4, "off": 2, "min_samples": 10, "least": 2}


def run(book: AlarmBook, values: list[float], *, start_s: float = 0, weight: float = 1) -> list[str]:
    """A value every half minute; the state of the first alarm after each."""
    states = []
    for i, value in enumerate(values):
        book.judge([Signal("waiting_requests", "core", value, weight)], at(start_s + 30 * i))
        states.append("/".join(alarm.state for alarm in alarms(book)) or "calm")
    return states


def alarms(book: AlarmBook) -> list[Alarm]:
    with book._sessions() as session:
        return [*session.scalars(select(Alarm).order_by(Alarm.since))]


def test_on_after_a_while_and_off_only_within_the_lower_threshold_for_a_while(operations: Sessions) -> None:
    book = AlarmBook(operations, [make_rule()])

    states = run(book, [3, 11, 12, 13, 7, 7, 7, 4, 6, 4, 4, 4])

    assert states == [
        *("calm", "pending", "pending", "firing"),
        *("firing", "firing", "firing"),  # 7 is below the upper threshold, not within the lower one
        *("firing", "firing", "firing", "firing", "resolved"),  # one 6 begins the minute anew
    ]
    (alarm,) = alarms(book)
    assert (alarm.peak, alarm.value, alarm.opened_at, alarm.resolved_at) == (13, 4, at(90), at(330))


def test_a_moment_beyond_the_threshold_is_no_alarm(operations: Sessions) -> None:
    assert run(AlarmBook(operations, [make_rule()]), [11, 3, 11, 9, 11]) == ["pending", "calm"] * 2 + ["pending"]


def test_a_wall_clock_that_is_set_back_holds_no_alarm_up(operations: Sessions) -> None:
    book = AlarmBook(operations, [make_rule()])
    run(book, [11], start_s=86_400)

    assert run(book, [11, 4], start_s=0) == ["firing", "firing"]
    assert run(book, [4], start_s=-86_400) == ["resolved"]


def test_what_is_too_low_is_an_alarm_where_a_rule_says_so(operations: Sessions) -> None:
    rule = make_rule(side="below", threshold={"kind": "fixed", "on": 2, "off": 4}, for_s=0)

    assert run(AlarmBook(operations, [rule]), [3, 1, 3, 5]) == ["calm", "firing", "firing", "resolved"]


def test_a_value_that_rests_on_too_few_cases_is_not_judged(operations: Sessions) -> None:
    book = AlarmBook(operations, [make_rule(for_s=0, min_weight=100)])

    assert run(book, [50], weight=99) == ["calm"]
    assert run(book, [50], weight=100, start_s=30) == ["firing"]


def test_a_restart_keeps_pending_and_firing_alarms(operations: Sessions) -> None:
    run(AlarmBook(operations, [make_rule()]), [11, 12])

    again = AlarmBook(operations, [make_rule()])
    again.resume(at(60))
    assert run(again, [13], start_s=60) == ["firing"]  # the minute began before the restart

    third = AlarmBook(operations, [make_rule()])
    third.resume(at(90))
    assert run(third, [4, 4, 4], start_s=90) == ["firing", "firing", "resolved"]


def test_an_alarm_whose_rule_is_gone_ends_at_the_start(operations: Sessions) -> None:
    run(AlarmBook(operations, [make_rule(for_s=0)]), [11])

    book = AlarmBook(operations, [make_rule(name="other")])
    book.resume(at(60))

    (alarm,) = alarms(book)
    assert (alarm.state, alarm.actions[-1]["done"]) == ("resolved", "the rule is gone")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_dynamic_threshold_does_not_learn_from_its_own_alarm(operations: Sessions, restarted: bool) -> None:
    rule = make_rule(threshold=STEADY, for_s=0)
    book = AlarmBook(operations, [rule])
    assert run(book, [1, 2, 3] * 5 + [50] * 10)[-1] == "firing"

    if restarted:
        book = AlarmBook(operations, [rule])
        book.resume(at(750))

    assert book.limits(rule, "core") == pytest.approx((2 + 4 * 1.4826, 2 + 2 * 1.4826))
    assert run(book, [50, 2], start_s=750) == ["firing", "resolved"]
    later = AlarmBook(operations, [rule])
    later.resume(at(900))
    assert later.limits(rule, "core") == pytest.approx(book.limits(rule, "core"))  # nor after its end


def test_who_watches_again_learns_the_past_once(operations: Sessions) -> None:
    rule = make_rule(threshold=STEADY)
    book = AlarmBook(operations, [rule])
    run(book, [1, 2, 3] * 3)

    book.resume(at(300))  # another process watched meanwhile

    assert book.limits(rule, "core") is None  # nine values are not ten


def test_after_an_acknowledgement_the_new_level_becomes_normal(operations: Sessions) -> None:
    rule = make_rule(threshold=STEADY, for_s=0)
    book = AlarmBook(operations, [rule])
    run(book, [1, 2, 3] * 5 + [50])
    (alarm,) = alarms(book)
    with operations.begin() as session:
        book.acknowledge(session, alarm.alarm_id, person="Ana", key="k1", reason="Black Friday")

    states = run(book, [50, 51, 49] * 6, start_s=600)

    assert (states[0], states[-1]) == ("firing", "resolved")


def test_an_acknowledgement_is_kept_and_given_once(operations: Sessions) -> None:
    book = AlarmBook(operations, [make_rule(for_s=0)])
    run(book, [11])
    (alarm,) = alarms(book)

    with operations.begin() as session:
        book.acknowledge(session, alarm.alarm_id, person="Ana", key="k1", reason="We look at it")
    with operations.begin() as session, pytest.raises(Conflict, match="was acknowledged by Ana already"):
        book.acknowledge(session, alarm.alarm_id, person="Bo", key="k2", reason="Me too")

    (kept,) = alarms(book)
    assert (kept.acknowledged_by, kept.acknowledged_key, kept.acknowledged_reason) == ("Ana", "k1", "We look at it")
    assert kept.state == "firing"


def test_of_two_who_acknowledge_at_once_one_is_told(operations: Sessions) -> None:
    book, done, engine = AlarmBook(operations, [make_rule(for_s=0)]), [], operations.kw["bind"]
    run(book, [11])
    (alarm,) = alarms(book)

    def acknowledge(by: Sessions, person: str) -> None:
        with suppress(Conflict):
            with by.begin() as session:
                book.acknowledge(session, alarm.alarm_id, person=person, key="k", reason="We look at it")
            done.append(person)

    with intruder(engine) as own, between(engine, lambda: acknowledge(own, "Bo"), after="FROM operations_alarms"):
        acknowledge(operations, "Ana")

    assert len(done) == 1


def test_a_pending_alarm_cannot_be_acknowledged(operations: Sessions) -> None:
    book = AlarmBook(operations, [make_rule()])
    run(book, [11])

    with operations.begin() as session, pytest.raises(NotFound, match="no such alarm"):
        book.acknowledge(session, alarms(book)[0].alarm_id, person="Ana", key="k1", reason="We look at it")


def test_an_alarm_holds_the_evidence_of_the_moment_it_opened(operations: Sessions) -> None:
    book = AlarmBook(operations, [make_rule(for_s=0)], lambda signal: {"seen": signal.value})

    run(book, [11, 12])

    assert alarms(book)[0].evidence == {"seen": 11}


def test_subjects_have_alarms_of_their_own(operations: Sessions) -> None:
    rule: Rule = make_rule(name="errors", signal="error_share", for_s=0)
    book = AlarmBook(operations, [rule])
    opened = book.judge(
        [Signal("error_share", name, value) for name, value in (("finance", 11), ("medical", 3))], at(0)
    )

    assert [alarm.subject for alarm in opened] == ["finance"]
