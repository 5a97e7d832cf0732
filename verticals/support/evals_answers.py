"""The agent asked the test questions: when it answers, and whether what it says stands in the articles it cites.

Everything goes through the operation `chat`, so the same suites judge a live API, whose tenant must hold the demo
shop's articles. Ignores search and tickets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.grounding import choose_evidence, find_support, stream_sentences
from verticals.bootstrap import bootstrap_interval
from verticals.contract import (
    Cases,
    Context,
    Decision,
    Example,
    Handler,
    Metric,
    Progress,
    Resources,
    Suite,
    Unavailable,
)
from verticals.scores import mean_metric
from verticals.support.answering import answer_messages, is_instruction
from verticals.support.evals_questions import DATASET, TENANT, Question, by_id, ingest_articles, load_questions
from verticals.support.schemas import ChatEvent, ChatRequest, DeltaEvent, DoneEvent, Message, SourcesEvent

NUM_DRAFTS = 20  # a small model on two cores writes one in seconds
RIGHT, UNCITED = "cites a right article, when answered", "answers with an uncited sentence"
_CITED = re.compile(r"(.+?) \[(\d+)\](?: |$)", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What the agent said to a question: text with citations, the sources it showed, and whether it claims to know."""

    text: str
    sources: Mapping[int, Any]
    answered: bool
    tokens: int


def answer_suites(resources: Resources, chat: Handler) -> Sequence[Suite]:
    """When the agent answers, and whether its answers are grounded. Without a model there are no drafts to compare."""
    runs = _Runs(resources, chat)
    return [
        Suite(
            name="answerable",
            dataset=DATASET,
            split="test; 95 % bootstrap over questions, Wilson for accuracy",
            solver="agent: cosine threshold chosen on dev",
            scorer="mean of both rates, accuracy, F1 of answering; baseline: always answer",
            run=Cases(runs.questions, runs.judge_answering, _answering_metrics),
            operations=("chat",),
        ),
        Suite(
            name="grounded",
            dataset=DATASET,
            split="test; 95 % bootstrap over answers, Wilson for rates",
            solver="agent: answers as streamed, with their citations",
            scorer="numbers and character 5-grams of each sentence found in the passage it cites (not the agent's own "
            "check); share of answers that cite a right article; baseline: the model's drafts, unchecked, on dev",
            run=Cases(runs.questions_and_drafts, runs.judge_grounding, _grounding_metrics),
            operations=("chat",),
        ),
    ]


def says(passage: str, sentence: str) -> bool:
    """Whether a passage holds a sentence, by letters alone: all its numbers, and 60 % of its character 5-grams.

    A check of another kind than `find_support`, so that the agent does not mark its own work.
    """
    have, want = _letters(passage), _letters(sentence)
    grams = {want[i : i + 5] for i in range(len(want) - 4)}
    numbers = set(re.findall(r"\d+(?:\.\d+)?", sentence)) <= set(re.findall(r"\d+(?:\.\d+)?", passage))
    return numbers and bool(grams) and sum(gram in have for gram in grams) >= 0.6 * len(grams)


class _Runs:
    """The suites' cases over one set of resources."""

    def __init__(self, resources: Resources, chat: Handler) -> None:
        self._resources, self._chat = resources, chat
        self._answers: dict[str, Answer] = {}  # asked once, scored by two suites

    def questions(self, progress: Progress) -> dict[str, Question]:
        if self._resources.retriever is not None:  # a live API has its own
            ingest_articles(self._resources, progress)
        return by_id(load_questions("test"))

    def questions_and_drafts(self, progress: Progress) -> dict[str, tuple[Question, bool]]:
        asked = {case_id: (question, False) for case_id, question in self.questions(progress).items()}
        if self._resources.chat_model is not None:
            dev = [question for question in load_questions("dev") if question.doc_ids]
            chosen = by_id(dev[:: max(1, len(dev) // NUM_DRAFTS)][:NUM_DRAFTS])
            asked |= {f"draft {case_id}": (question, True) for case_id, question in chosen.items()}
        return asked

    def judge_answering(self, question: Question) -> Example:
        answer, known = self._ask(question), bool(question.doc_ids)
        scores = {
            "accuracy": float(answer.answered == known),
            "answered": float(answer.answered),
            "known": float(known),
        }
        return Example(scores, question.slices, _shown(question, answer.text), answer.tokens)

    def judge_grounding(self, case: tuple[Question, bool]) -> Example:
        question, is_draft = case
        if is_draft:
            return self._judge_draft(question)
        answer = self._ask(question)
        scores: dict[str, float] = {}
        if answer.answered:
            cited = _CITED.findall(answer.text)
            found = [
                int(number) in answer.sources and says(_source_text(answer.sources[int(number)]), sentence)
                for sentence, number in cited
            ]
            scores = {
                "grounded": float(sum(found)),
                "sentences": float(len(found)),
                UNCITED: float(bool(_CITED.sub("", answer.text).strip())),
            }
            if question.doc_ids:
                used = {answer.sources[int(n)].doc_id for _, n in cited if int(n) in answer.sources}
                scores[RIGHT] = float(bool(used & question.doc_ids))
        return Example(scores, question.slices, _shown(question, answer.text), answer.tokens)

    def _judge_draft(self, question: Question) -> Example:
        """What the bare model writes from the right passage: how much of it does the evidence say?"""
        hits = self._resources.retriever.search(question.text, tenant=TENANT, k=5)
        evidence = choose_evidence(
            question.text,
            [hit for hit in hits if hit.doc_id in question.doc_ids],
            usable=lambda sentence: not is_instruction(sentence),
        )
        if not evidence:
            return Example({})
        model = self._resources.chat_model.bind(max_tokens=60, temperature=0.0)
        reply = str(model.invoke(answer_messages(question.text, evidence)).text)
        found = [find_support(text, evidence) is not None for text in stream_sentences([reply])]
        scores = {"draft grounded": float(sum(found)), "draft sentences": float(len(found))}
        return Example(scores, {}, _shown(question, reply))

    def _ask(self, question: Question) -> Answer:
        if question.text not in self._answers:
            self._answers[question.text] = self._stream(question)
        return self._answers[question.text]

    def _stream(self, question: Question) -> Answer:
        request = ChatRequest(messages=[Message(role="user", content=question.text)], seed=0)
        context = Context(tenant=TENANT, actor="evals", request_id="evals", record=_forget)
        text, sources, answered, tokens = "", {}, False, 0
        for event in self._chat(request, context):  # type: ignore[union-attr]
            assert isinstance(event, ChatEvent)
            match event.root:
                case SourcesEvent(sources=found):
                    sources = {source.number: source for source in found}
                case DeltaEvent(text=piece):
                    text += piece
                case DoneEvent(answered=known, usage=usage):
                    answered, tokens = known, usage.prompt_tokens + usage.completion_tokens
        return Answer(text, sources, answered, tokens)


def _answering_metrics(examples: Mapping[str, Example]) -> list[Metric]:
    rows = np.array([[each.scores["answered"], each.scores["known"]] for each in examples.values()])
    always = np.column_stack([np.ones(len(rows)), rows[:, 1]])

    def metric(name: str, figure: Callable[[NDArray[Any]], float]) -> Metric:
        low, high = bootstrap_interval(rows, figure)
        return Metric(name, figure(rows), low, high, len(rows), baseline="always answer", baseline_value=figure(always))

    share_known = float(rows[:, 1].mean())
    return [
        metric("mean of both rates", _both_rates),
        mean_metric("accuracy", examples, baseline="always answer", baseline_value=share_known),
        metric("F1", _f1),
    ]


def _grounding_metrics(examples: Mapping[str, Example]) -> list[Metric]:
    def rows(of: str, among: str) -> NDArray[np.float64]:
        return np.array([[e.scores[of], e.scores[among]] for e in examples.values() if e.scores.get(among)])

    found, drafts = rows("grounded", "sentences"), rows("draft grounded", "draft sentences")
    if not len(found):
        raise Unavailable("no answer cites anything", field="chat", remedy="Does the tenant hold the shop's articles?")
    low, high = bootstrap_interval(found, _ratio)
    return [
        Metric(
            "sentences grounded",
            _ratio(found),
            low,
            high,
            len(found),
            baseline="the model's drafts, unchecked (dev)" if len(drafts) else None,
            baseline_value=_ratio(drafts) if len(drafts) else None,
        ),
        mean_metric(UNCITED, examples, higher_is_better=False),
        mean_metric(RIGHT, examples),
    ]


def _forget(*decisions: Decision, session: object = None) -> None:
    """Evaluation decides nothing about anyone: no audit rows."""


def _shown(question: Question, answer: str) -> str:
    return f"{question.text}\n{answer}"


def _ratio(rows: NDArray[Any]) -> float:
    return float(rows[:, 0].sum() / rows[:, 1].sum())


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
