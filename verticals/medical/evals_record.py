"""The nightly figure of reading a patient's record, through the operation that reads it. Ignores how words are tagged.

In this process the study that the record belongs to is pydicom's MR test file under a tenant of the suite's own; of a
live API, the tenant of the key gets it. It is stored once, however often the suite runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from verticals.asking import evaluator
from verticals.bootstrap import bootstrap_interval
from verticals.contract import Cases, Example, Handler, Metric, Progress, Resources, Suite, UploadedFile
from verticals.medical import probes
from verticals.medical.record_schemas import RecordRequest, RecordResponse
from verticals.medical.schemas import IngestRequest, StudyResponse

TENANT = "evals.medical"
STUDY, PATIENT_ID = "MR_small.dcm", "4MR1"  # not the CT, of which the refusals' faulty files are made
EVERY = 20  # of 4,581 sentences; each is a request
WORDED = "dictionary: "  # prefix of the baseline's scores
COUNTS = ("right", "wrong", "missed")

Entity = tuple[str, str]  # "problem" or "medicine", and its letters
Array = np.ndarray[Any, np.dtype[np.float64]]


def record_suite(resources: Resources, handlers: Mapping[str, Handler]) -> Suite:
    """One suite; it judges a live API too."""
    runs = _Runs(resources, handlers)
    return Suite(
        name="record",
        dataset="BC5CDR (Li 2016; public domain)",
        split=f"devel, on which the recipe was chosen, every {EVERY}th sentence; 95 % bootstrap over sentences",
        solver="problems and medicines as they are read for an indication",
        scorer="F1 of a sentence's diseases and chemicals by kind and letters; baseline: a dictionary of the training "
        "split, longest match",
        run=Cases(runs.read, runs.score, _metrics),
        operations=("ingest_study", "read_record"),
    )


class _Runs:
    """The suite's cases."""

    def __init__(self, resources: Resources, handlers: Mapping[str, Handler]) -> None:
        self._data_dir, self._handlers, self._context = resources.data_dir, handlers, evaluator(TENANT)
        self._known: dict[tuple[str, ...], str] = {}

    def read(self, progress: Progress) -> dict[str, tuple[list[str], frozenset[Entity]]]:
        """Words and entities by the sentence's number; the study is there afterwards."""
        from verticals.medical.text.training import read_bc5cdr

        progress("Reading sentences", 0.0)
        learned, measured = (read_bc5cdr(self._data_dir, split) for split in ("train", "devel"))
        for words, tags in zip(learned.words, learned.tags, strict=True):
            self._known |= {tuple(w.lower() for w in words[a:b]): kind for kind, a, b in _spans(tags)}
        assert self._study_id
        return {
            f"devel {i}": (list(words), frozenset((kind, _letters(words[a:b])) for kind, a, b in _spans(tags)))
            for i, (words, tags) in enumerate(zip(measured.words, measured.tags, strict=True))
            if i % EVERY == 0
        }

    def score(self, case: tuple[list[str], frozenset[Entity]]) -> Example:
        """What is right, wrong and missed, and the same of the dictionary."""
        words, gold = case
        request = RecordRequest(study_id=self._study_id, patient_id=PATIENT_ID, record=" ".join(words))
        answer = self._handlers["read_record"](request, self._context)
        assert isinstance(answer, RecordResponse)
        said: set[Entity] = {(fact.kind, _letters([fact.text])) for fact in (*answer.problems, *answer.medicines)}
        scores = _count(gold, said) | {WORDED + name: n for name, n in _count(gold, self._look_up(words)).items()}
        named = ", ".join(fact.text for fact in (*answer.problems, *answer.medicines))
        return Example(scores, {"entities": "some" if gold else "none"}, f"{' '.join(words)}\n{named}")

    @cached_property
    def _study_id(self) -> str:
        file = UploadedFile(filename=STUDY, content=probes.pydicom_file(STUDY))
        study = self._handlers["ingest_study"](IngestRequest(file=file, origin="pydicom-test-data"), self._context)
        assert isinstance(study, StudyResponse)
        return study.study_id

    def _look_up(self, words: Sequence[str]) -> set[Entity]:
        lower, at, found = [word.lower() for word in words], 0, set[Entity]()
        longest = max(map(len, self._known))
        while at < len(lower):
            sizes = range(min(longest, len(lower) - at), 0, -1)
            size = next((n for n in sizes if tuple(lower[at : at + n]) in self._known), 0)
            if size:
                found.add((self._known[tuple(lower[at : at + size])], _letters(words[at : at + size])))
            at += max(size, 1)
        return found


def _spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    from verticals.medical.text.entities import spans_of

    return [("problem" if kind == "Disease" else "medicine", first, last) for kind, first, last in spans_of(tags)]


def _letters(words: Sequence[str]) -> str:
    """Without spaces: the corpus is cut into words otherwise than a record is."""
    return "".join("".join(words).lower().split())


def _count(gold: frozenset[Entity], said: set[Entity]) -> dict[str, float]:
    return dict(zip(COUNTS, map(float, (len(gold & said), len(said - gold), len(gold - said))), strict=True))


def _metrics(examples: Mapping[str, Example]) -> Sequence[Metric]:
    def rows(prefix: str) -> Array:
        return np.array([[each.scores[prefix + name] for name in COUNTS] for each in examples.values()])

    found = rows("")
    low, high = bootstrap_interval(found, _f1)
    return [Metric("F1", _f1(found), low, high, len(found), True, "dictionary", _f1(rows(WORDED)))]


def _f1(rows: Array) -> float:
    right, wrong, missed = rows.sum(0)
    return float(2 * right / max(1, 2 * right + wrong + missed))
