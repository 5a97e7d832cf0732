"""References as streamed, as stored and as read back are the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from sqlalchemy.orm import Session, sessionmaker

from retrieval.ledger import Ledger
from tests.verticals.support.fakes import ListRetriever, ScriptedModel, context, hit
from tests.verticals.support.world import World
from verticals.contract import NotFound
from verticals.support.handlers import SupportHandlers
from verticals.support.references import ReferenceDesk
from verticals.support.schemas import (
    ChatRequest,
    CitationEvent,
    DeltaEvent,
    DoneEvent,
    GetReferencesRequest,
    Message,
    References,
    SourcesEvent,
)

Make = Callable[[ScriptedModel, ListRetriever], SupportHandlers]
RETURNS = "Ask us first. You can return **most items** within 45 days of delivery."
DELIVERY = "Express delivery costs £9.95."


def _knowledge() -> ListRetriever:
    return ListRetriever([hit(RETURNS), hit(DELIVERY, number=2, title="Delivery", similarity=0.6)])


def _ask(text: str) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=text)], conversation_id="c-1")


def _read(sessions: sessionmaker[Session], answer_id: str, tenant: str = "demo") -> References:
    desk = ReferenceDesk(Ledger(sessions), lambda tenant: None)
    return desk.get_references(GetReferencesRequest(answer_id=answer_id), context(tenant=tenant))


def test_every_cited_sentence_comes_after_the_stretch_of_its_source_that_says_it(make_handlers: Make) -> None:
    model = ScriptedModel(script="You can return most items within 45 days of delivery. Express delivery costs £9.95.")

    events = [e.root for e in make_handlers(model, _knowledge()).chat(_ask("return items by express?"), context())]

    texts = {
        source.number: source.text for event in events if isinstance(event, SourcesEvent) for source in event.sources
    }
    pairs = [
        (texts[cited.number][cited.start : cited.end], said.text.strip())
        for cited, said in pairwise(events)
        if isinstance(cited, CitationEvent) and isinstance(said, DeltaEvent)
    ]
    assert pairs == [
        (
            "You can return **most items** within 45 days of delivery.",
            "You can return most items within 45 days of delivery. [1]",
        ),
        ("Express delivery costs £9.95.", "Express delivery costs £9.95. [2]"),
    ]


def test_what_was_streamed_is_read_back_by_the_answers_id(make_handlers: Make, sessions: sessionmaker[Session]) -> None:
    handlers = make_handlers(ScriptedModel(script=DELIVERY), _knowledge())

    events = [event.root for event in handlers.chat(_ask("What is express delivery?"), context())]

    sources = next(event for event in events if isinstance(event, SourcesEvent))
    cited = [event for event in events if isinstance(event, CitationEvent)]
    done = events[-1]
    assert isinstance(done, DoneEvent)
    stored = _read(sessions, done.answer_id or "")
    assert [one.model_dump() for one in stored.citations] == [one.model_dump(exclude={"type"}) for one in cited]
    assert [(one.number, one.passage_id, one.score, one.similarity) for one in stored.candidates] == [
        (one.number, one.passage_id, one.score, one.similarity) for one in sources.sources
    ]
    assert (stored.query, stored.index_version, stored.conversation_id) == (sources.query, "v1", "c-1")
    assert stored.query == "What is express delivery?"


def test_a_declined_question_keeps_its_candidates_and_cites_nothing(
    make_handlers: Make, sessions: sessionmaker[Session]
) -> None:
    handlers = make_handlers(ScriptedModel(), ListRetriever([hit(RETURNS, similarity=0.1)]))

    done = list(handlers.chat(_ask("What is the capital of France?"), context()))[-1].root

    assert isinstance(done, DoneEvent)
    stored = _read(sessions, done.answer_id or "")
    assert [one.passage_id for one in stored.candidates] == ["p1"]
    assert stored.citations == []


def test_small_talk_has_no_references(make_handlers: Make) -> None:
    done = list(make_handlers(ScriptedModel(), _knowledge()).chat(_ask("Hello!"), context()))[-1].root

    assert isinstance(done, DoneEvent)
    assert done.answer_id is None


def test_another_tenants_answer_does_not_exist(make_handlers: Make, sessions: sessionmaker[Session]) -> None:
    handlers = make_handlers(ScriptedModel(script=DELIVERY), _knowledge())
    done = list(handlers.chat(_ask("What is express delivery?"), context()))[-1].root
    assert isinstance(done, DoneEvent)

    with pytest.raises(NotFound, match="answer_id: no such answer"):
        _read(sessions, done.answer_id or "", tenant="other")


def test_a_sessions_answer_is_kept_for_its_customer(world: World) -> None:
    world.knowledge.hits = [hit(RETURNS)]

    events = world.say(world.begin(), "How long can I return most items?")

    cited = [event for event in events if event.type == "citation"]
    stored = world.call("get_references", GetReferencesRequest(answer_id=events[-1].answer_id))
    assert [one.model_dump() for one in stored.citations] == [one.model_dump(exclude={"type"}) for one in cited]
    assert cited
