"""The nightly figures of customer support, each beside its baseline. Ignores how they are reported.

Questions and conversations are synthetic: written for this project about an invented shop. `dev` chose the threshold
and the way of answering; figures are of `test` unless a suite says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.ingest import read_folder
from retrieval.lexical import LexicalIndex
from retrieval.metrics import ndcg_at_k
from retrieval.passages import cut, indexed_text
from verticals.contract import Cases, Example, Handler, Metric, Progress, Resources, Suite
from verticals.scores import mean_metric
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.evals_answers import answer_suites
from verticals.support.evals_asking import Desk
from verticals.support.evals_questions import DATASET, Question, by_id, load_questions
from verticals.support.evals_safety import suites as safety_suites
from verticals.support.evals_state import state_suites
from verticals.support.evals_understanding import understanding_suites
from verticals.support.schemas import Message
from verticals.support.ticket_writing import read_json, write_json

WORDED = "BM25 alone: "  # prefix of the baseline's scores


def evals(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    """Retrieval, when to decline, grounding, what the model is worth as a writer, tickets, intents and emotions."""
    desk = Desk(resources, handlers)
    runs = _Runs(resources, desk)
    return [
        Suite(
            name="retrieval",
            dataset=DATASET,
            split="test, answerable; 95 % bootstrap over questions, Wilson for rates",
            solver="hybrid search, five passages",
            scorer="recall@5 and nDCG@5 of articles; baseline: BM25 alone over the passages of the shop's articles",
            run=Cases(runs.questions, runs.search, _retrieval_metrics),
            operations=("search", "list_documents"),
        ),
        *answer_suites(resources, desk),
        Suite(
            name="tickets",
            dataset="ticket_talks.jsonl (synthetic, Apache-2.0)",
            split="all; the rules were corrected on them, so category and priority only guard against regressions; "
            "Wilson",
            solver="the agent's ticket: categories by rules; the chat model, constrained by the ticket's JSON Schema",
            scorer="category and priority; valid JSON that obeys the schema; baseline: the same prompt, unconstrained",
            run=Cases(runs.talks, runs.write_ticket, _ticket_metrics),
            operations=("create_ticket", "list_documents"),
        ),
        *state_suites(resources),
        *understanding_suites(resources),
        *safety_suites(resources, desk, [(q.text, q.doc_ids) for q in load_questions("test") if q.doc_ids]),
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
    """The suites' cases; what the chat model writes by itself is scored only where there is one."""

    def __init__(self, resources: Resources, desk: Desk) -> None:
        self._model, self._desk = resources.chat_model, desk

    def questions(self, progress: Progress) -> dict[str, Question]:
        self._desk.prepare(progress)
        return by_id(question for question in load_questions("test") if question.doc_ids)

    def search(self, question: Question) -> Example:
        found = [source.doc_id for source in self._desk.search(question.text, k=5)]
        passages, lexical = self._worded
        worded = [passages[row] for row in lexical.search(question.text, k=5)]
        baseline = {WORDED + name: score for name, score in _rank_scores(worded, question).items()}
        shown = f"{question.text}\n{', '.join(dict.fromkeys(found))}"
        return Example(_rank_scores(found, question) | baseline, {"put as": question.kind}, shown)

    @cached_property
    def _worded(self) -> tuple[list[str], LexicalIndex]:
        """The article of each passage, and the passages' words."""
        passages = [passage for document in read_folder(KNOWLEDGE_DIR)[0] for passage in cut(document)]
        index = LexicalIndex.build([indexed_text(p.title, p.heading, p.text) for p in passages])
        return [passage.doc_id for passage in passages], index

    def talks(self, progress: Progress) -> dict[str, Any]:
        self._desk.prepare(progress)
        return _talks()

    def write_ticket(self, talk: Mapping[str, Any]) -> Example:
        window = [Message(role="assistant" if j % 2 else "user", content=t) for j, t in enumerate(talk["talk"])]
        ticket = self._desk.open_ticket(window)
        scores = {
            "right category": float(ticket.category == talk["category"]),
            "right priority": float(ticket.priority == talk["priority"]),
        }
        shown = f"{window[-1].content}\n{ticket.category}, {ticket.priority}: {ticket.summary}"
        if self._model is not None:
            triage = ticket.category, ticket.priority
            for name, grammar in (("schema-valid", True), ("unconstrained", False)):
                written = write_json(self._model, window, *triage, constrained=grammar)
                scores[name] = float(read_json(written, *triage) is not None)
        return Example(scores, {"category": talk["category"]}, shown)


def _talks() -> dict[str, Any]:
    lines = (KNOWLEDGE_DIR.parent / "ticket_talks.jsonl").read_text("utf-8").splitlines()
    return {f"talk {number}": json.loads(line) for number, line in enumerate(lines, start=1)}


def _retrieval_metrics(examples: Mapping[str, Example]) -> list[Metric]:
    return [
        mean_metric(name, examples, baseline="BM25 alone", baseline_value=_mean(examples, WORDED + name))
        for name in ("recall@5", "nDCG@5")
    ]


def _ticket_metrics(examples: Mapping[str, Example]) -> list[Metric]:
    talks = _talks().values()
    categories = [talk["category"] for talk in talks]
    common = max(categories.count(category) for category in set(categories)) / len(categories)
    normal = float(np.mean([talk["priority"] == "normal" for talk in talks]))
    metrics = [
        mean_metric("right category", examples, baseline="the most frequent", baseline_value=common),
        mean_metric("right priority", examples, baseline="always normal", baseline_value=normal),
    ]
    if any("schema-valid" in example.scores for example in examples.values()):
        unconstrained = _mean(examples, "unconstrained")
        valid = mean_metric("schema-valid", examples, baseline="unconstrained", baseline_value=unconstrained)
        return [valid, *metrics]
    return metrics


def _mean(examples: Mapping[str, Example], name: str) -> float:
    return float(np.mean([each.scores[name] for each in examples.values()]))


def _rank_scores(doc_ids: Sequence[str], question: Question) -> dict[str, float]:
    articles = list(dict.fromkeys(doc_ids))
    found = float(bool(question.doc_ids & set(articles)))
    return {"recall@5": found, "nDCG@5": ndcg_at_k(articles, dict.fromkeys(question.doc_ids, 1.0), 5)}
