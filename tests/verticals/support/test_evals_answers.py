"""The answers' suites ask the operation alone, and count what a known agent does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from retrieval.ingest import read_folder
from verticals.contract import Context, Metric, Resources, Suite, Unavailable
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.evals_answers import answer_suites
from verticals.support.evals_asking import Desk
from verticals.support.evals_questions import load_questions
from verticals.support.schemas import (
    ChatEvent,
    ChatRequest,
    DeltaEvent,
    DocumentInfo,
    DocumentPage,
    DoneEvent,
    ListDocumentsRequest,
    Source,
    SourcesEvent,
    Usage,
)

NOTHING: Any = None
LIVE = Resources(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, None)  # as a live API is judged: nothing of this process
PASSAGE = "You can return most items within 30 days of delivery."


def held(request: ListDocumentsRequest, context: Context) -> DocumentPage:
    """The tenant holds the demo shop's articles."""
    documents = [DocumentInfo(doc_id=each.doc_id, title="", passages=1) for each in read_folder(KNOWLEDGE_DIR)[0]]
    return DocumentPage(documents=documents[request.offset :][: request.limit], total=len(documents))


def suites_of(chat: Any) -> Sequence[Suite]:
    return answer_suites(LIVE, Desk(LIVE, {"chat": chat, "list_documents": held}))


def run(chat: Any) -> dict[str, dict[str, Metric]]:
    return {
        suite.name: {metric.name: metric for metric in suite.run(lambda what, share: None)} for suite in suites_of(chat)
    }


def saying(text: str, *, doc_id: str = "returns", answered: bool = True) -> Any:
    source = Source(
        number=1, passage_id="p", doc_id=doc_id, title="", heading="", text=PASSAGE, similarity=0.5, score=1
    )

    def chat(request: ChatRequest, context: Context) -> Iterator[ChatEvent]:
        yield ChatEvent(SourcesEvent(sources=[source]))
        yield ChatEvent(DeltaEvent(text=text))
        usage = Usage(prompt_tokens=7, completion_tokens=3)
        yield ChatEvent(DoneEvent(finish_reason="stop", usage=usage, answered=answered, conversation_id="c"))

    return chat


def test_an_agent_that_always_quotes_one_passage_is_grounded_and_answers_too_much() -> None:
    questions = load_questions("test")
    known = sum(bool(question.doc_ids) for question in questions)

    found = run(saying(f"{PASSAGE} [1]"))

    assert found["answerable"]["accuracy"].value == pytest.approx(known / len(questions))
    assert found["answerable"]["mean of both rates"].value == 0.5
    assert found["grounded"]["sentences grounded"].value == 1
    assert found["grounded"]["answers with an uncited sentence"].value == 0
    assert found["grounded"]["cites a right article, when answered"].n == known
    assert found["grounded"]["sentences grounded"].baseline is None  # no model here drafts


def test_what_the_cited_passage_does_not_say_is_not_grounded() -> None:
    found = run(saying("You can return most items within 45 days of delivery. [1] And more."))["grounded"]

    assert found["sentences grounded"].value == 0
    assert found["answers with an uncited sentence"].value == 1


def test_an_agent_that_never_answers_leaves_nothing_to_ground() -> None:
    with pytest.raises(Unavailable, match="no answer cites anything"):
        run(saying("I do not know.", answered=False))


def test_an_example_tells_question_answer_tokens_and_its_slices() -> None:
    suite = suites_of(saying(f"{PASSAGE} [1]"))[0]
    question = load_questions("test")[0]

    example = suite.run.score(question)

    assert example.shown == f"{question.text}\n{PASSAGE} [1]"
    assert (example.tokens, example.slices) == (10, {"put as": "sentence", "answerable": "yes"})
