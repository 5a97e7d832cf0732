"""Thumbs belong to answers of the caller's sessions, and the desk's figures count what happened."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.verticals.support.fakes import hit
from tests.verticals.support.world import BEN, World
from verticals.contract import NotFound
from verticals.support import schemas as s


@pytest.fixture
def world(sessions: sessionmaker[Session]) -> World:
    return World(sessions)


def rate(world: World, session: str, number: int, rating: str, *, customer: str = "C-1001") -> s.RatedAnswer:
    request = s.RateAnswerRequest.model_validate({"session_id": session, "number": number, "rating": rating})
    rated: s.RatedAnswer = world.call("rate_answer", request, who=world.key(customer))
    return rated


def test_a_thumb_keeps_the_question_and_the_sources_for_review(world: World) -> None:
    world.knowledge.hits = [hit("You can return lamps within 30 days.")]
    session = world.begin()
    world.say(session, "Hello", "How long can I return a lamp?")

    rate(world, session, 4, "up")
    rated = rate(world, session, 4, "down")

    assert (rated.question, rated.rating) == ("How long can I return a lamp?", "down")
    assert rated.sources[0].text == "You can return lamps within 30 days."
    page = world.call("list_feedback", s.ListFeedbackRequest(rating=s.Rating.DOWN))
    assert (page.total, page.answers) == (1, [rated])
    assert world.call("list_feedback", s.ListFeedbackRequest(rating=s.Rating.UP)).total == 0


@pytest.mark.parametrize("number", [1, 3, 99])
def test_only_answers_can_be_rated(world: World, number: int) -> None:
    session = world.begin()
    world.say(session, "Hello")

    with pytest.raises(NotFound, match="number: is no answer"):
        rate(world, session, number, "up")


def test_another_customers_session_does_not_exist(world: World) -> None:
    session = world.begin()
    world.say(session, "Hello")

    with pytest.raises(NotFound, match="no such session"):
        rate(world, session, 2, "down", customer=BEN)


def test_the_figures_count_what_happened(world: World) -> None:
    world.knowledge.hits = [hit("You can return lamps within 30 days.")]
    asked, person = world.begin(), world.begin()
    world.say(asked, "How long can I return a lamp?")
    world.say(person, "I want to speak to a person.")
    rate(world, asked, 2, "up")

    found: s.Quality = world.call("quality", s.QualityRequest())

    shares = [(share.count, share.total) for share in (found.contained, found.cited, found.liked)]
    assert (found.sessions, shares) == (2, [(1, 2), (1, 2), (1, 1)])
    assert (found.waiting_handoffs, found.waiting_approvals) == (1, 0)


def test_nothing_has_no_share(world: World) -> None:
    assert world.call("quality", s.QualityRequest()).liked.share is None
