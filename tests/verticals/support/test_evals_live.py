"""What a live API answers is scored as this process' answers are, and what it lacks is said before it is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.verticals.support.test_evals_answers import LIVE, NOTHING, held
from verticals.contract import Context, Handler, Metric, Resources, Suite, Unavailable
from verticals.support import VERTICAL
from verticals.support.evals_asking import Desk
from verticals.support.evals_questions import load_questions
from verticals.support.safety.guard import REFUSAL
from verticals.support.schemas import (
    ChatEvent,
    ChatRequest,
    CreateTicketRequest,
    DeltaEvent,
    DocumentPage,
    DoneEvent,
    ListDocumentsRequest,
    SearchRequest,
    SearchResponse,
    Source,
    Ticket,
    TicketCategory,
    TicketPriority,
    TicketStatus,
    Usage,
)


def search(request: SearchRequest, context: Context) -> SearchResponse:
    """The right article for every question but one, behind a wrong one."""
    questions = [question for question in load_questions("test") if question.doc_ids]
    right = {question.text: min(question.doc_ids) for question in questions[1:]}
    found = ["wrong", *filter(None, [right.get(request.query)])]
    return SearchResponse(
        hits=[
            Source(number=i, passage_id="p", doc_id=doc_id, title="", heading="", text="", similarity=0.5, score=1)
            for i, doc_id in enumerate(found, start=1)
        ]
    )


def chat(request: ChatRequest, context: Context) -> Iterator[ChatEvent]:
    """Refuses whoever asks for a bomb."""
    refused = "bomb" in request.messages[-1].content
    yield ChatEvent(DeltaEvent(text=REFUSAL if refused else "Gladly."))
    usage = Usage(prompt_tokens=7, completion_tokens=3)
    yield ChatEvent(DoneEvent(finish_reason="stop", usage=usage, answered=not refused, conversation_id="c"))


def create_ticket(request: CreateTicketRequest, context: Context) -> Ticket:
    """Files everything under returns."""
    return Ticket(
        category=TicketCategory.RETURNS,
        priority=TicketPriority.NORMAL,
        subject="About a lamp",
        summary="About a lamp",
        customer_request="A lamp",
        ticket_id="T-1",
        status=TicketStatus.OPEN,
        created_at=datetime(2026, 11, 30, tzinfo=UTC),
        model_version="m",
    )


HANDLERS: Mapping[str, Handler] = {
    "search": search,
    "chat": chat,
    "create_ticket": create_ticket,
    "list_documents": held,
}


def metrics(name: str, resources: Resources = LIVE) -> dict[str, Metric]:
    suites: dict[str, Suite] = {suite.name: suite for suite in VERTICAL.evals(resources, HANDLERS)}
    return {metric.name: metric for metric in suites[name].run(lambda what, share: None)}


def test_search_is_judged_through_its_operation_beside_words_alone() -> None:
    found = metrics("retrieval")

    recall = found["recall@5"]
    assert recall.value == pytest.approx(1 - 1 / recall.n)
    assert 0.5 < found["nDCG@5"].value < 0.7  # always second
    assert recall.baseline_value is not None
    assert recall.baseline_value > 0.5


def test_tickets_are_judged_without_the_model_by_itself() -> None:
    found = metrics("tickets")

    assert set(found) == {"right category", "right priority"}
    assert 0 < found["right category"].value < 1
    assert found["right priority"].value == found["right priority"].baseline_value


def test_a_request_is_refused_if_the_answer_says_so(tmp_path: Path) -> None:
    for file, text in {
        "safety/advbench/adv_bench.prompt": "".join(
            f"- value: Build a {'bomb' if i % 2 else 'gun'} number {i}\n  data_type: text\n" for i in range(40)
        ),
        "safety/harmbench/harmbench_prompts.txt": "",
        "support/banking77/test.csv": "text,category\nWhere is my card?,card\n",
        "support/goemotions/dev.tsv": "",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    resources = Resources(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, tmp_path)

    found = metrics("harmful requests", resources)

    assert 0 < found["harmful caught"].value < 1
    assert found["ordinary refused"].value == 0
    assert not found["ordinary refused"].higher_is_better


@pytest.mark.parametrize("is_set", [True, False])
def test_without_the_requests_there_is_nothing_to_judge(tmp_path: Path, is_set: bool) -> None:
    resources = Resources(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, tmp_path if is_set else None)

    with pytest.raises(Unavailable, match="the harmful requests are not here"):
        metrics("harmful requests", resources)


def test_a_tenant_without_the_shop_s_articles_is_not_judged() -> None:
    def empty(request: ListDocumentsRequest, context: Context) -> DocumentPage:
        return DocumentPage(documents=[], total=0)

    with pytest.raises(Unavailable, match=r"the tenant of the key lacks \d+ of the demo shop's \d+ articles"):
        Desk(LIVE, {"list_documents": empty}).prepare(lambda what, share: None)


def test_a_question_is_asked_once_however_many_suites_score_it() -> None:
    asked: list[Any] = []

    def counted(request: ChatRequest, context: Context) -> Iterator[ChatEvent]:
        asked.append(request)
        return chat(request, context)

    desk = Desk(LIVE, {"chat": counted})
    answers = [desk.chat("Hello") for _ in range(2)]

    assert answers[0] is answers[1]
    assert (answers[0].text, answers[0].answered, answers[0].tokens, len(asked)) == ("Gladly.", True, 10, 1)
