"""The questions about the demo shop that the nightly asks. Ignores asking and scoring."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from verticals.support.demo import KNOWLEDGE_DIR

DATASET = "questions.jsonl about the invented shop Maple & Pine (synthetic, Apache-2.0)"


@dataclass(frozen=True)
class Question:
    """A customer's question and the articles that answer it; none if no article does."""

    text: str
    doc_ids: frozenset[str]
    kind: str

    @property
    def slices(self) -> dict[str, str]:
        """How it is put, and whether an article answers it."""
        return {"put as": self.kind, "answerable": "yes" if self.doc_ids else "no"}


def load_questions(split: str) -> list[Question]:
    """The `dev` or `test` questions of the knowledge base."""
    lines = (KNOWLEDGE_DIR / "questions.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == split]
    return [
        Question(r["question"], frozenset({r["doc_id"], *r["also"]} if r["doc_id"] else ()), r["kind"]) for r in rows
    ]


def by_id(questions: Iterable[Question]) -> dict[str, Question]:
    """Each under an id made of its text: the same as long as the question is."""
    return {hashlib.sha256(each.text.encode()).hexdigest()[:10]: each for each in questions}
