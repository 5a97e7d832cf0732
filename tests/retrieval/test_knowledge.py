"""The invented shop's articles are well formed, and its questions find them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from retrieval.chunking import count_words
from retrieval.documents import Document
from retrieval.embed import MiniLMEmbedder
from retrieval.ingest import read_folder
from retrieval.store import KnowledgeBase

KNOWLEDGE = Path(__file__).parents[2] / "verticals" / "support" / "knowledge"
CATEGORIES = {"delivery", "returns", "payment", "account", "warranty", "privacy", "orders", "products"}


def questions() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (KNOWLEDGE / "questions.jsonl").read_text("utf-8").splitlines()]


def test_every_article_is_read_and_of_a_fair_length() -> None:
    documents, problems = read_folder(KNOWLEDGE)

    assert problems == []
    assert len(documents) >= 45
    assert {document.metadata["category"] for document in documents} == CATEGORIES
    assert [d.doc_id for d in documents if not 110 <= count_words(d.text) <= 350] == []


def test_every_question_names_articles_that_exist() -> None:
    doc_ids = {document.doc_id for document in read_folder(KNOWLEDGE)[0]}

    named = {doc_id for question in questions() for doc_id in (question["doc_id"], *question["also"]) if doc_id}

    assert named == doc_ids
    assert {question["split"] for question in questions()} == {"dev", "test"}
    assert len({question["question"] for question in questions()}) == len(questions())


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_four_of_five_test_questions_find_their_article(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    kb = KnowledgeBase(sessions, MiniLMEmbedder(), tmp_path / "index")
    kb.ingest(read_folder(KNOWLEDGE)[0], tenant="demo")
    asked = [question for question in questions() if question["split"] == "test" and question["doc_id"]]

    found = [
        bool({q["doc_id"], *q["also"]} & {hit.doc_id for hit in kb.search(q["question"], tenant="demo", k=5)})
        for q in asked
    ]

    assert sum(found) / len(found) >= 0.8


@pytest.mark.slow
def test_words_lead_where_the_embedder_does_not_read_the_question(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    knowledge = KnowledgeBase(sessions, MiniLMEmbedder(), tmp_path / "index")
    titles = ("退货政策", "保修期限", "礼品卡", "配送时效", "支付方式", "账户安全")
    knowledge.ingest([Document(f"d{i}", title, f"{title}的说明。") for i, title in enumerate(titles)], tenant="t")

    first = [knowledge.search(f"请问{title}", tenant="t", k=1)[0].title for title in titles]

    knowledge.close()
    assert first == list(titles)
