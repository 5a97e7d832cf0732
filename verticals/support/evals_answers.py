"""The agent asked the test questions: when it answers, and whether what it says stands in the articles it cites.

Everything goes through operations, so the same suites judge a live API. Ignores search and tickets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Hit
from retrieval.grounding import choose_evidence, find_support, stream_sentences
from verticals.bootstrap import bootstrap_interval
from verticals.contract import Cases, Example, Metric, Progress, Resources, Suite, Unavailable
from verticals.scores import mean_metric
from verticals.support.answering import answer_messages, is_instruction
from verticals.support.evals_asking import Desk
from verticals.support.evals_questions import DATASET, Question, by_id, load_questions

NUM_DRAFTS = 20  # a small model on two cores writes one in seconds
RIGHT, UNCITED = "cites a right article, when answered", "answers with an uncited sentence"
_CITED = re.compile(r"(.+?) \[(\d+)\](?: |$)", re.DOTALL)


def answer_suites(resources: Resources, desk: Desk) -> Sequence[Suite]:
    """When the agent answers, and whether its answers are grounded. Without a model there are no drafts to compare."""
    runs = _Runs(resources, desk)
    return [
        Suite(
            name="answerable",
            dataset=DATASET,
            split="test; 95 % bootstrap over questions, Wilson for accuracy",
            solver="agent: cosine threshold chosen on dev",
            scorer="mean of both rates, accuracy, F1 of answering; baseline: always answer",
            run=Cases(runs.questions, runs.judge_answering, _answering_metrics),
            operations=("chat", "list_documents"),
        ),
        Suite(
            name="grounded",
            dataset=DATASET,
            split="test; 95 % bootstrap over answers, Wilson for rates",
            solver="agent: answers as streamed, with their citations",
            scorer="numbers and character 5-grams of each sentence found in the passage it cites (not the agent's own "
            "check); share of answers that cite a right article; baseline: the model's drafts, unchecked, on dev",
            run=Cases(runs.questions_and_drafts, runs.judge_grounding, _grounding_metrics),
            operations=("chat", "search", "list_documents"),
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
    """The suites' cases; drafts only where there is a model to write them."""

    def __init__(self, resources: Resources, desk: Desk) -> None:
        self._model, self._desk = resources.chat_model, desk

    def questions(self, progress: Progress) -> dict[str, Question]:
        self._desk.prepare(progress)
        return by_id(load_questions("test"))

    def questions_and_drafts(self, progress: Progress) -> dict[str, tuple[Question, bool]]:
        asked = {case_id: (question, False) for case_id, question in self.questions(progress).items()}
        if self._model is not None:
            dev = [question for question in load_questions("dev") if question.doc_ids]
            chosen = by_id(dev[:: max(1, len(dev) // NUM_DRAFTS)][:NUM_DRAFTS])
            asked |= {f"draft {case_id}": (question, True) for case_id, question in chosen.items()}
        return asked

    def judge_answering(self, question: Question) -> Example:
        answer, known = self._desk.chat(question.text), bool(question.doc_ids)
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
        answer = self._desk.chat(question.text)
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
        sources = self._desk.search(question.text, k=5)
        evidence = choose_evidence(
            question.text,
            [Hit(**source.model_dump(exclude={"number"})) for source in sources if source.doc_id in question.doc_ids],
            usable=lambda sentence: not is_instruction(sentence),
        )
        if not evidence:
            return Example({})
        model = self._model.bind(max_tokens=60, temperature=0.0)
        reply = str(model.invoke(answer_messages(question.text, evidence)).text)
        found = [find_support(text, evidence) is not None for text in stream_sentences([reply])]
        scores = {"draft grounded": float(sum(found)), "draft sentences": float(len(found))}
        return Example(scores, {}, _shown(question, reply))


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
