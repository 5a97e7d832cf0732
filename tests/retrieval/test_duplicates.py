"""Nearly the same is left out; another number, another reader or a short text is not the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.documents import Document, Duplicate
from retrieval.duplicates import find_duplicates, signature
from retrieval.store import KnowledgeBase

WORDS = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200)]
ARTICLE = Document("b", "Returns", " ".join(WORDS))
NEAR = replace(ARTICLE, doc_id="c", text=ARTICLE.text.replace("wordca", "other"))


def nothing_stored(doc_ids: Sequence[str]) -> Mapping[str, Document]:
    return {}


def found(*new: Document, stored: Sequence[Document] = (), beside: Sequence[Document] = ()) -> dict[str, str]:
    by_id = {document.doc_id: document for document in stored}
    return find_duplicates(
        new,
        beside=beside,
        stored={document.doc_id: signature(document) for document in stored},
        load=lambda doc_ids: {doc_id: by_id[doc_id] for doc_id in doc_ids},
    )


def test_of_two_new_documents_the_one_whose_id_sorts_first_is_kept() -> None:
    assert found(ARTICLE, NEAR) == found(NEAR, ARTICLE) == {"c": "b"}


def test_what_is_stored_or_replaces_it_is_kept_before_what_is_new() -> None:
    new = replace(NEAR, doc_id="a")

    assert found(new, stored=[ARTICLE]) == {"a": "b"}
    assert found(new, beside=[ARTICLE]) == {"a": "b"}
    assert found(new, stored=[ARTICLE], beside=[Document("b", "Returns", "Now something else.")]) == {}


@pytest.mark.parametrize(
    "other",
    [
        replace(NEAR, text=" ".join(WORDS[50:])),
        replace(NEAR, text=f"{ARTICLE.text} 2025"),
        replace(NEAR, title="Returns of the XR-200"),
        replace(NEAR, acl=("staff",)),
    ],
)
def test_other_words_numbers_or_readers_make_another_document(other: Document) -> None:
    assert found(ARTICLE, other) == {}


def test_pages_of_one_pattern_are_not_compared_with_each_other() -> None:
    """Pages that differ in a number alone would cost the square of their number."""
    pages = [replace(ARTICLE, doc_id=f"p{i}", text=f"{ARTICLE.text} P{i}") for i in range(100)]
    loaded: list[str] = []

    def load(doc_ids: Sequence[str]) -> Mapping[str, Document]:
        loaded.extend(doc_ids)
        return {}

    stored = {page.doc_id: signature(page) for page in pages[1:]}

    assert find_duplicates(pages[:1], beside=[], stored=stored, load=load) == {}
    assert loaded == []


def test_short_texts_are_never_duplicates() -> None:
    assert found(Document("a", "T", "Delivery is free."), Document("b", "T", "Delivery is free.")) == {}


def test_chinese_is_compared_too() -> None:
    text = (
        "购买后三十天内可以退货，请保留包装和发票，退款将在收到商品后五个工作日内退回原支付账户，运费由我们承担。" * 2
    )

    assert found(Document("a", "退货", text), Document("b", "退货", text + "谢谢。")) == {"b": "a"}


def test_a_document_that_is_gone_keeps_none_out() -> None:
    stored = {"b": signature(ARTICLE)}

    assert find_duplicates([NEAR], beside=[], stored=stored, load=nothing_stored) == {}


@given(st.integers(0, 200))
def test_the_share_of_equal_hashes_estimates_the_jaccard_similarity(num_shared: int) -> None:
    """64 hashes: the standard error is at most 1 / 16."""
    other = Document("c", "Returns", " ".join(WORDS[:num_shared] + [f"{word}x" for word in WORDS[num_shared:]]))
    a, b = (
        {words[i : i + 3] for i in range(199)}
        for words in (("returns", *WORDS), tuple(f"Returns {other.text}".lower().split()))
    )
    rows = [np.frombuffer(signature(document), "<u4")[2:] for document in (ARTICLE, other)]

    assert np.mean(rows[0] == rows[1]) == pytest.approx(len(a & b) / len(a | b), abs=0.3)


def test_a_knowledge_base_leaves_them_out_and_says_for_which(kb: KnowledgeBase) -> None:
    first = kb.ingest([ARTICLE, NEAR], tenant="t")
    again = kb.ingest([ARTICLE, NEAR], tenant="t")
    elsewhere = kb.ingest([NEAR], tenant="u")

    assert (first.added, first.duplicates) == (1, (Duplicate("c", kept="b"),))
    assert (again.unchanged, again.added, again.duplicates) == (1, 0, (Duplicate("c", kept="b"),))
    assert (elsewhere.added, elsewhere.duplicates) == (1, ())


def test_an_edit_of_a_stored_document_is_never_left_out(kb: KnowledgeBase) -> None:
    kb.ingest([ARTICLE, Document("c", "Other", "Text")], tenant="t")

    report = kb.ingest([NEAR], tenant="t")

    assert (report.replaced, report.duplicates) == (1, ())


def test_when_the_kept_one_is_deleted_the_other_can_be_added(kb: KnowledgeBase) -> None:
    kb.ingest([ARTICLE], tenant="t")
    kb.delete("b", "t")

    assert kb.ingest([NEAR], tenant="t").added == 1
