"""Customers, staff and the bot at the same moment: nobody is left without an answer, and what is closed stays so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any

import pytest

from tests.intruder import between, intruder
from tests.verticals.support.world import ADA, BEN, World
from verticals.contract import Conflict
from verticals.support import schemas as s
from verticals.support.checkpoints import open_checkpointer
from verticals.support.consents import WORDING_VERSION
from verticals.support.forgetting import ActionRecords

Meanwhile = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def other(world: World) -> Iterator[World]:
    """Another process on the same database, that waits for no lock."""
    with intruder(world.sessions.kw["bind"]) as sessions:
        yield World(sessions)


@pytest.fixture
def meanwhile(world: World) -> Meanwhile:
    def during(act: Callable[[], object], *, after: str) -> AbstractContextManager[None]:
        return between(world.sessions.kw["bind"], act, after=after)

    return during


def close(world: World, session: str) -> None:
    world.call("close_session", s.SessionRequest(session_id=session), who=world.key())


def ask_for_a_person(world: World) -> tuple[str, str]:
    session = world.begin()
    events = world.say(session, "I want to speak to a person")
    return session, next(event.handoff.handoff_id for event in events if event.type == "handoff")


def inbox(world: World) -> list[str]:
    return [one.status for one in world.call("list_handoffs", s.ListHandoffsRequest(status=None)).handoffs]


def rate(world: World, session: str, customer: str = ADA) -> None:
    request = s.RateAnswerRequest(session_id=session, number=2, rating=s.Rating.UP)
    world.call("rate_answer", request, who=world.key(customer))


def rated(world: World, customer: str) -> str:
    session = world.begin(customer)
    world.say(session, "Hello", customer=customer)
    rate(world, session, customer)
    return session


def forget(world: World) -> None:
    world.call("forget_memory", s.ForgetMemoryRequest(customer=ADA))


def test_a_message_that_comes_while_a_person_hands_back_is_answered(
    world: World, other: World, meanwhile: Meanwhile
) -> None:
    session, handoff = ask_for_a_person(world)
    world.call("take_over", s.TakeOverRequest(handoff_id=handoff))

    with meanwhile(
        lambda: other.call("hand_back", s.HandBackRequest(handoff_id=handoff)), after="FROM support_sessions"
    ):
        world.say(session, "Are you there?")

    assert world.history(session).messages[-1].role == "assistant"


def test_a_session_that_is_closed_while_a_person_is_asked_for_stays_closed(
    world: World, other: World, meanwhile: Meanwhile
) -> None:
    session = world.begin()

    with meanwhile(lambda: close(other, session), after="FROM support_handoffs"):
        world.say(session, "I want to speak to a person")

    assert world.history(session).state == "closed"
    assert inbox(world) == ["returned"]


def test_nobody_takes_over_what_is_closed_meanwhile(world: World, other: World, meanwhile: Meanwhile) -> None:
    session, handoff = ask_for_a_person(world)

    with meanwhile(lambda: close(other, session), after="FROM support_handoffs"), pytest.raises(Conflict):
        world.call("take_over", s.TakeOverRequest(handoff_id=handoff))

    assert (world.history(session).state, inbox(world)) == ("closed", ["returned"])


def test_a_history_does_not_call_answered_what_it_shows_no_answer_to(
    world: World, other: World, meanwhile: Meanwhile
) -> None:
    session = world.begin()
    events = world.call("send_message", s.SendMessageRequest(session_id=session, content="Hello"), who=world.key())
    next(events)  # the message is stored
    events.close()

    def answer() -> None:
        list(other.call("resume_session", s.SessionRequest(session_id=session), who=other.key()))

    with meanwhile(answer, after="FROM support_messages"):
        shown = world.history(session)

    assert shown.unanswered == (shown.messages[-1].role == "customer")


def test_a_yes_that_is_given_twice_at_once_is_taken_back_at_once(
    world: World, other: World, meanwhile: Meanwhile
) -> None:
    given = s.GiveConsentRequest(modality=s.Modality.VOICE, wording_version=WORDING_VERSION)
    with meanwhile(lambda: other.call("give_consent", given, who=other.key()), after="FROM support_consents"):
        world.call("give_consent", given, who=world.key())

    world.call("withdraw_consent", s.ConsentRequest(modality=s.Modality.VOICE), who=world.key())

    page: Any = world.call("list_consents", s.ListConsentsRequest(), who=world.key())
    assert all(one.withdrawn_at for one in page.consents)


def test_a_thumb_that_is_given_twice_at_once_is_one(world: World, other: World, meanwhile: Meanwhile) -> None:
    session = world.begin()
    world.say(session, "Hello")

    with meanwhile(lambda: rate(other, session), after="FROM support_feedback"):
        rate(world, session)

    assert world.call("list_feedback", s.ListFeedbackRequest()).total == 1


def test_figures_and_thumbs_that_are_read_while_a_customer_is_forgotten_are_of_one_moment(
    world: World, other: World, meanwhile: Meanwhile
) -> None:
    for customer in (ADA, ADA, BEN):
        rated(world, customer)

    with meanwhile(lambda: forget(other), after="support_feedback.rating ="):
        liked = world.call("quality", s.QualityRequest(days=1)).liked
    rated(world, ADA)
    with meanwhile(lambda: forget(other), after="FROM support_feedback"):
        page = world.call("list_feedback", s.ListFeedbackRequest())

    assert (liked.count, liked.total) == (3, 3)
    assert (len(page.answers), page.total) == (2, 2)


def test_an_action_is_either_approved_or_withdrawn_with_its_customer(
    world: World, other: World, meanwhile: Meanwhile
) -> None:
    session = world.begin()
    world.say(session, "I want a refund for the Aspen table lamp of order MP-10001, it is faulty", "yes")
    (action,) = world.waiting()
    records = ActionRecords(world.sessions, open_checkpointer(world.sessions.kw["bind"]))

    def approve() -> None:
        with suppress(Conflict):
            other.decide(action.action_id)

    with meanwhile(approve, after="FROM support_actions"):
        records.erase("demo", ADA)

    (left,) = world.call("list_approvals", s.ListApprovalsRequest(status=None)).approvals
    assert left.status == ("done" if world.refunds() else "rejected")


def test_a_session_that_is_closed_twice_at_once_is_one_episode(
    world: World, other: World, meanwhile: Meanwhile
) -> None:
    session = world.begin()
    world.say(session, "My lamp flickers.")

    with meanwhile(lambda: close(other, session), after="FROM support_episodes"):
        close(world, session)

    memory: Any = world.call("get_memory", s.CustomerRequest(), who=world.key())
    assert [one.attribute for one in memory.memories] == ["episode"]
