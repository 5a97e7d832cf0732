"""The nightly figures of customer support, each beside its baseline. Ignores how they are reported.

Questions and conversations are synthetic: written for this project about an invented shop. `dev` chose the threshold
and the way of answering; figures are of `test` unless a suite says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Passage
from retrieval.ingest import read_folder
from retrieval.lexical import LexicalIndex
from retrieval.metrics import ndcg_at_k
from retrieval.passages import cut, indexed_text
from verticals.contract import Cases, Example, Handler, Metric, Progress, Resources, Suite
from verticals.scores import mean_metric
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.evals_answers import answer_suites
from verticals.support.evals_questions import DATASET, TENANT, Question, by_id, ingest_articles, load_questions
from verticals.support.evals_safety import suites as safety_suites
from verticals.support.evals_state import state_suites
from verticals.support.evals_understanding import understanding_suites
from verticals.support.schemas import Message
from verticals.support.ticket_writing import read_json, write_json
from verticals.support.triage import decide_category, decide_priority

WORDED = "BM25 alone: "  # prefix of the baseline's scores


def evals(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    """Retrieval, when to decline, grounding, what the model is worth as a writer, tickets, intents and emotions."""
    runs = _Runs(resources)
    return [
        Suite(
            name="retrieval",
            dataset=DATASET,
            split="test, answerable; 95 % bootstrap over questions, Wilson for rates",
            solver="hybrid search, five passages",
            scorer="recall@5 and nDCG@5 of articles; baseline: BM25 alone over the same passages",
            run=Cases(runs.questions, runs.search, _retrieval_metrics),
        ),
        *answer_suites(resources, handlers["chat"]),
        Suite(
            name="tickets",
            dataset="ticket_talks.jsonl (synthetic, Apache-2.0)",
            split="all; the rules were corrected on them, so category and priority only guard against regressions; "
            "Wilson",
            solver="the chat model, constrained by the ticket's JSON Schema; categories by rules",
            scorer="valid JSON that obeys the schema; baseline: the same prompt, unconstrained",
            run=Cases(_talks, runs.write_ticket, _ticket_metrics),
        ),
        *state_suites(resources),
        *understanding_suites(resources),
        *safety_suites(resources, [(q.text, q.doc_ids) for q in load_questions("test") if q.doc_ids]),
    ]


def choose_threshold(similarities: NDArray[np.float64], answerable: NDArray[np.bool_], *, step: float = 0.01) -> float:
    """The cosine with the largest sum of answered answerable and declined other questions; the middle if several tie.

    Args:
        similarities: Best cosine per question, (questions,).
        answerable: Whether an article answers it, (questions,).
        step: Between the cosines that are tried, from 0.2 to 0.9; finer for an embedder whose cosines lie close.
    """
    candidates = np.round(np.arange(0.2, 0.9, step), 3)
    sums = [np.mean(similarities[answerable] >= t) + np.mean(similarities[~answerable] < t) for t in candidates]
    return float(np.median(candidates[np.isclose(sums, max(sums))]))


class _Runs:
    """The suites' cases over one set of resources."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._passages: list[Passage] = []
        self._lexical: LexicalIndex | None = None

    def questions(self, progress: Progress) -> dict[str, Question]:
        ingest_articles(self._resources, progress)
        documents, _ = read_folder(KNOWLEDGE_DIR)
        self._passages = [passage for document in documents for passage in cut(document)]
        self._lexical = LexicalIndex.build([indexed_text(p.title, p.heading, p.text) for p in self._passages])
        return by_id(question for question in load_questions("test") if question.doc_ids)

    def search(self, question: Question) -> Example:
        assert self._lexical is not None  # `questions` built it
        hits = self._resources.retriever.search(question.text, tenant=TENANT, k=5)
        hybrid = [hit.doc_id for hit in hits]
        worded = [self._passages[row].doc_id for row in self._lexical.search(question.text, k=5)]
        baseline = {WORDED + name: score for name, score in _rank_scores(worded, question).items()}
        shown = f"{question.text}\n{', '.join(dict.fromkeys(hybrid))}"
        return Example(_rank_scores(hybrid, question) | baseline, {"put as": question.kind}, shown)

    def write_ticket(self, talk: Mapping[str, Any]) -> Example:
        window = [Message(role="assistant" if j % 2 else "user", content=t) for j, t in enumerate(talk["talk"])]
        said = talk["talk"][::2]
        triage = decide_category(said), decide_priority(said)
        written = {
            grammar: write_json(self._resources.chat_model, window, *triage, constrained=grammar)
            for grammar in (True, False)
        }
        scores = {
            "schema-valid": float(read_json(written[True], *triage) is not None),
            "unconstrained": float(read_json(written[False], *triage) is not None),
            "right category": float(triage[0] == talk["category"]),
            "right priority": float(triage[1] == talk["priority"]),
        }
        return Example(scores, {"category": talk["category"]}, f"{said[-1]}\n{written[True]}")


def _talks(progress: Progress) -> dict[str, Any]:
    lines = (KNOWLEDGE_DIR.parent / "ticket_talks.jsonl").read_text("utf-8").splitlines()
    return {f"talk {number}": json.loads(line) for number, line in enumerate(lines, start=1)}


def _retrieval_metrics(examples: Mapping[str, Example]) -> list[Metric]:
    return [
        mean_metric(name, examples, baseline="BM25 alone", baseline_value=_mean(examples, WORDED + name))
        for name in ("recall@5", "nDCG@5")
    ]


def _ticket_metrics(examples: Mapping[str, Example]) -> list[Metric]:
    talks = _talks(lambda what, share: None).values()
    categories = [talk["category"] for talk in talks]
    common = max(categories.count(category) for category in set(categories)) / len(categories)
    normal = float(np.mean([talk["priority"] == "normal" for talk in talks]))
    return [
        mean_metric(
            "schema-valid", examples, baseline="unconstrained", baseline_value=_mean(examples, "unconstrained")
        ),
        mean_metric("right category", examples, baseline="the most frequent", baseline_value=common),
        mean_metric("right priority", examples, baseline="always normal", baseline_value=normal),
    ]


def _mean(examples: Mapping[str, Example], name: str) -> float:
    return float(np.mean([each.scores[name] for each in examples.values()]))


def _rank_scores(doc_ids: Sequence[str], question: Question) -> dict[str, float]:
    articles = list(dict.fromkeys(doc_ids))
    found = float(bool(question.doc_ids & set(articles)))
    return {"recall@5": found, "nDCG@5": ndcg_at_k(articles, dict.fromkeys(question.doc_ids, 1.0), 5)}
