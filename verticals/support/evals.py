"""The nightly figures of customer support, each beside its baseline. Ignores how they are reported.

Questions and conversations are synthetic: written for this project about an invented shop. `dev` chose the threshold
and the way of answering; figures are of `test` unless a suite says otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Hit
from retrieval.grounding import choose_evidence, find_support, stream_sentences
from retrieval.ingest import read_folder
from retrieval.lexical import LexicalIndex
from retrieval.metrics import ndcg_at_k
from retrieval.passages import cut, indexed_text
from verticals.bootstrap import bootstrap_interval
from verticals.contract import Context, Decision, Handler, Metric, Progress, Resources, Suite, Unavailable
from verticals.support.answering import answer_messages, is_instruction
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.evals_safety import suites as safety_suites
from verticals.support.evals_state import state_suites
from verticals.support.evals_understanding import understanding_suites
from verticals.support.schemas import ChatEvent, ChatRequest, DeltaEvent, DoneEvent, Message, SourcesEvent
from verticals.support.ticket_writing import read_json, write_json
from verticals.support.triage import decide_category, decide_priority

TENANT = "evals.support"
DATASET = "questions.jsonl about the invented shop Maple & Pine (synthetic, Apache-2.0)"
NUM_DRAFTS = 20  # a small model on two cores writes one in seconds
_CITED = re.compile(r"(.+?) \[(\d+)\](?: |$)", re.DOTALL)


@dataclass(frozen=True)
class Question:
    """A customer's question and the articles that answer it; none if no article does."""

    text: str
    doc_ids: frozenset[str]


@dataclass(frozen=True)
class Answer:
    """What the agent said to a question: text with citations, the sources it showed, and whether it claims to know."""

    question: Question
    text: str
    sources: Mapping[int, Any]
    answered: bool


def evals(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    """Retrieval, when to decline, grounding, what the model is worth as a writer, tickets, intents and emotions."""
    runs = _Runs(resources, handlers)
    return [
        Suite(
            name="retrieval",
            dataset=DATASET,
            split="test, answerable; 95 % bootstrap over questions",
            solver="hybrid search, five passages",
            scorer="recall@5 and nDCG@5 of articles; baseline: BM25 alone over the same passages",
            run=runs.retrieval,
        ),
        Suite(
            name="answerable",
            dataset=DATASET,
            split="test; 95 % bootstrap over questions",
            solver="agent: cosine threshold chosen on dev",
            scorer="mean of both rates, accuracy, F1 of answering; baseline: always answer",
            run=runs.answerable,
        ),
        Suite(
            name="grounded",
            dataset=DATASET,
            split="test; 95 % bootstrap over sentences and over questions",
            solver="agent: answers as streamed, with their citations",
            scorer="numbers and character 5-grams of each sentence found in the passage it cites (not the agent's own "
            "check); share of answers that cite a right article; baseline: the model's drafts, unchecked, on dev",
            run=runs.grounded,
        ),
        Suite(
            name="tickets",
            dataset="ticket_talks.jsonl (synthetic, Apache-2.0)",
            split="all; the rules were corrected on them, so category and priority only guard against regressions; "
            "95 % bootstrap over conversations",
            solver="the chat model, constrained by the ticket's JSON Schema; categories by rules",
            scorer="valid JSON that obeys the schema; baseline: the same prompt, unconstrained",
            run=runs.tickets,
        ),
        *state_suites(resources),
        *understanding_suites(resources),
        *safety_suites(resources, [(q.text, q.doc_ids) for q in load_questions("test") if q.doc_ids]),
    ]


def load_questions(split: str) -> list[Question]:
    """The `dev` or `test` questions of the knowledge base."""
    lines = (KNOWLEDGE_DIR / "questions.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == split]
    return [Question(r["question"], frozenset({r["doc_id"], *r["also"]} if r["doc_id"] else ())) for r in rows]


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


def says(passage: str, sentence: str) -> bool:
    """Whether a passage holds a sentence, by letters alone: all its numbers, and 60 % of its character 5-grams.

    A check of another kind than `find_support`, so that the agent does not mark its own work.
    """
    have, want = _letters(passage), _letters(sentence)
    grams = {want[i : i + 5] for i in range(len(want) - 4)}
    numbers = set(re.findall(r"\d+(?:\.\d+)?", sentence)) <= set(re.findall(r"\d+(?:\.\d+)?", passage))
    return numbers and bool(grams) and sum(gram in have for gram in grams) >= 0.6 * len(grams)


class _Runs:
    """The suites' `run` functions over one set of resources."""

    def __init__(self, resources: Resources, handlers: Mapping[str, Handler]) -> None:
        self._resources, self._chat = resources, handlers["chat"]
        self._answers: list[Answer] = []

    def retrieval(self, progress: Progress) -> list[Metric]:
        self._ingest(progress)
        questions = [q for q in load_questions("test") if q.doc_ids]
        documents, _ = read_folder(KNOWLEDGE_DIR)
        passages = [passage for document in documents for passage in cut(document)]
        lexical = LexicalIndex.build([indexed_text(p.title, p.heading, p.text) for p in passages])
        rows = []
        for i, question in enumerate(questions):
            progress("Searching", i / len(questions))
            hybrid = [hit.doc_id for hit in self._search(question.text)]
            worded = [passages[row].doc_id for row in lexical.search(question.text, k=5)]
            rows.append([*_rank_scores(hybrid, question), *_rank_scores(worded, question)])
        table = np.array(rows)
        return [
            _metric("recall@5", table[:, 0], baseline="BM25 alone", baseline_value=table[:, 2].mean()),
            _metric("nDCG@5", table[:, 1], baseline="BM25 alone", baseline_value=table[:, 3].mean()),
        ]

    def answerable(self, progress: Progress) -> list[Metric]:
        rows = np.array([[a.answered, bool(a.question.doc_ids)] for a in self._all_answers(progress)])
        always = np.column_stack([np.ones(len(rows), bool), rows[:, 1]])
        figures: dict[str, Callable[[NDArray[Any]], float]] = {
            "mean of both rates": _both_rates,
            "accuracy": lambda r: float((r[:, 0] == r[:, 1]).mean()),
            "F1": _f1,
        }
        return [
            _metric(name, rows, figure, baseline="always answer", baseline_value=figure(always))
            for name, figure in figures.items()
        ]

    def grounded(self, progress: Progress) -> list[Metric]:
        answers = [a for a in self._all_answers(lambda what, share: progress(what, share / 2)) if a.answered]
        supported = [
            says(_source_text(answer.sources[int(number)]), sentence) if int(number) in answer.sources else False
            for answer in answers
            for sentence, number in _CITED.findall(answer.text)
        ]
        uncited = [bool(_CITED.sub("", answer.text).strip()) for answer in answers]
        right = [
            any(answer.sources[int(n)].doc_id in answer.question.doc_ids for _, n in _CITED.findall(answer.text))
            for answer in answers
            if answer.question.doc_ids
        ]
        drafted = self._draft(lambda what, share: progress(what, 0.5 + share / 2))
        return [
            _metric(
                "sentences grounded",
                supported,
                baseline="the model's drafts, unchecked (dev)",
                baseline_value=float(np.mean(drafted)),
            ),
            _metric("answers with an uncited sentence", uncited, higher_is_better=False),
            _metric("cites a right article, when answered", right),
        ]

    def tickets(self, progress: Progress) -> list[Metric]:
        path = KNOWLEDGE_DIR.parent / "ticket_talks.jsonl"
        talks = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        rows = []
        for i, talk in enumerate(talks):
            progress("Writing tickets", i / len(talks))
            window = [Message(role="assistant" if j % 2 else "user", content=t) for j, t in enumerate(talk["talk"])]
            said = talk["talk"][::2]
            triage = decide_category(said), decide_priority(said)
            valid = [
                read_json(write_json(self._resources.chat_model, window, *triage, constrained=grammar), *triage)
                is not None
                for grammar in (True, False)
            ]
            rows.append([*valid, triage[0] == talk["category"], triage[1] == talk["priority"]])
        table = np.array(rows, float)
        common = max(np.mean([t["category"] == c for t in talks]) for c in {t["category"] for t in talks})
        normal = float(np.mean([t["priority"] == "normal" for t in talks]))
        return [
            _metric("schema-valid", table[:, 0], baseline="unconstrained", baseline_value=table[:, 1].mean()),
            _metric("right category", table[:, 2], baseline="the most frequent", baseline_value=float(common)),
            _metric("right priority", table[:, 3], baseline="always normal", baseline_value=normal),
        ]

    def _ingest(self, progress: Progress) -> None:
        documents, problems = read_folder(KNOWLEDGE_DIR)
        if problems or not documents:
            raise Unavailable("the articles are damaged", field="knowledge", remedy="Install the package again.")
        self._resources.retriever.ingest(documents, tenant=TENANT, on_progress=progress)

    def _search(self, question: str) -> list[Hit]:
        found: list[Hit] = self._resources.retriever.search(question, tenant=TENANT, k=5)
        return found

    def _all_answers(self, progress: Progress) -> list[Answer]:
        """The agent's answers to the test questions; asked once, scored by two suites."""
        if not self._answers:
            self._ingest(progress)
            questions = load_questions("test")
            for i, question in enumerate(questions):
                progress("Answering", i / len(questions))
                self._answers.append(self._ask(question))
        return self._answers

    def _ask(self, question: Question) -> Answer:
        request = ChatRequest(messages=[Message(role="user", content=question.text)], seed=0)
        context = Context(tenant=TENANT, actor="evals", request_id="evals", record=_forget)
        text, sources, answered = "", {}, False
        for event in self._chat(request, context):  # type: ignore[union-attr]
            assert isinstance(event, ChatEvent)
            match event.root:
                case SourcesEvent(sources=found):
                    sources = {source.number: source for source in found}
                case DeltaEvent(text=piece):
                    text += piece
                case DoneEvent(answered=known):
                    answered = known
        return Answer(question, text, sources, answered)

    def _draft(self, progress: Progress) -> list[bool]:
        """For each sentence that the bare model writes from the right passage: does the evidence say it?"""
        supported: list[bool] = []
        questions = [q for q in load_questions("dev") if q.doc_ids]
        for i, question in enumerate(questions[:: max(1, len(questions) // NUM_DRAFTS)][:NUM_DRAFTS]):
            progress("Drafting", i / NUM_DRAFTS)
            hits = [hit for hit in self._search(question.text) if hit.doc_id in question.doc_ids]
            evidence = choose_evidence(question.text, hits, usable=lambda sentence: not is_instruction(sentence))
            if evidence:
                model = self._resources.chat_model.bind(max_tokens=60, temperature=0.0)
                reply = str(model.invoke(answer_messages(question.text, evidence)).text)
                supported += [find_support(text, evidence) is not None for text in stream_sentences([reply])]
        if not supported:
            raise Unavailable("the model wrote nothing", field="chat_model", remedy="Look at the model's settings.")
        return supported


def _forget(*decisions: Decision, session: object = None) -> None:
    """Evaluation decides nothing about anyone: no audit rows."""


def _metric(
    name: str,
    values: Any,
    figure: Callable[[NDArray[Any]], float] = np.mean,
    *,
    baseline: str | None = None,
    baseline_value: float | None = None,
    higher_is_better: bool = True,
) -> Metric:
    rows = np.asarray(values, float)
    low, high = bootstrap_interval(rows, figure)
    value = float(figure(rows))
    return Metric(
        name=name,
        value=value,
        low=low,
        high=high,
        n=len(rows),
        higher_is_better=higher_is_better,
        baseline=baseline,
        baseline_value=baseline_value,
    )


def _rank_scores(doc_ids: Sequence[str], question: Question) -> tuple[float, float]:
    articles = list(dict.fromkeys(doc_ids))
    found = float(bool(question.doc_ids & set(articles)))
    return found, ndcg_at_k(articles, dict.fromkeys(question.doc_ids, 1.0), 5)


def _both_rates(rows: NDArray[Any]) -> float:
    """Mean of answered answerable and declined unanswerable; nan if a draw lacks one kind."""
    known = rows[:, 1] > 0
    if known.all() or not known.any():
        return float("nan")
    return float((rows[known, 0].mean() + 1 - rows[~known, 0].mean()) / 2)


def _f1(rows: NDArray[Any]) -> float:
    both = float((rows[:, 0] * rows[:, 1]).sum())
    return 2 * both / float(rows.sum()) if rows.any() else 0.0


def _source_text(source: Any) -> str:
    return f"{source.title} {source.heading} {source.text}"


def _letters(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9$%.]+", text.lower()))
