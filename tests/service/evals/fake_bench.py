"""A bench in this process, and suites of given scores that another process can open by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from service.evals.isolation import Broken, Declared
from service.evals.runner import Journal, SuiteResult, run_suite
from verticals.contract import Cases, Example, Metric, Progress, Suite
from verticals.scores import mean_metric


class FakeBench:
    """Runs suites here, one after another."""

    def __init__(self, domain: str, *suites: Suite, error: str | None = None) -> None:
        self.domain, self._suites, self._error = domain, suites, error

    def declare(self, *, timeout_s: float) -> tuple[list[Suite], Mapping[str, str]]:
        if self._error:
            raise Broken(self._error)
        return list(self._suites), {"core": "smol 1-abc"}

    def run(self, suite: Suite, *, journal: Journal, progress: Progress, timeout_s: float) -> SuiteResult:
        return run_suite(self.domain, suite, progress, journal=journal)

    def close(self) -> None:
        pass


def by_cases(
    scores: Mapping[str, float],
    *,
    name: str = "answers",
    shown: Callable[[str], str] = lambda case_id: f"answer to {case_id}",
    on_score: Callable[[str], None] = lambda case_id: None,
    slices: Callable[[str], dict[str, str]] = lambda case_id: {},
) -> Suite:
    """A suite of cases whose scores are given."""

    def score(case_id: str) -> Example:
        on_score(case_id)
        return Example({"right": scores[case_id]}, slices(case_id), shown(case_id))

    cases = Cases(
        lambda progress: {case_id: case_id for case_id in scores},
        score,
        lambda examples: [mean_metric("right", examples)],
    )
    return Suite(name, "questions", "test", "model", "share right", cases)


# --- opened in another process --------------------------------------------------------------------------------------

GOOD = Metric("auc", 0.8, 0.7, 0.9, 100)


def _fine(progress: Progress) -> Sequence[Metric]:
    progress("scoring", 0.5)
    return (GOOD,)


def _raise(progress: Progress) -> Sequence[Metric]:
    raise KeyError("Jane Doe")


def _hang(progress: Progress) -> Sequence[Metric]:
    while True:
        time.sleep(1)


def _crash(progress: Progress) -> Sequence[Metric]:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def _hoard(progress: Progress) -> Sequence[Metric]:
    return [b"x" * 2**40]  # type: ignore[list-item]


def _suite(name: str, run: Callable[[Progress], Sequence[Metric]]) -> Suite:
    return Suite(name, "d", "s", "m", "x", run)


@contextmanager
def open_troubled() -> Iterator[Declared]:
    """Suites that end badly in every way, with a good one after each."""
    runs = {"raises": _raise, "crashes": _crash, "fine": _fine, "hoards": _hoard, "hangs": _hang}
    yield Declared([_suite(name, run) for name, run in runs.items()], {"core": "tiny-1"})


@contextmanager
def open_twins() -> Iterator[Declared]:
    """Two suites of one name."""
    yield Declared([_suite("twin", _fine), _suite("twin", _fine)], {})


@contextmanager
def open_damaged() -> Iterator[Declared]:
    """Cannot be opened."""
    raise RuntimeError("Jane Doe's model")
    yield


@contextmanager
def open_slow(folder: Path, num_cases: int) -> Iterator[Declared]:
    """Notes each case that it scores in a file; waits at the twentieth until there is a file `go`."""

    def note(case_id: str) -> None:
        with (folder / "scored").open("a") as file:
            file.write(f"{case_id}\n")
        if case_id == "case 20":
            while not (folder / "go").exists():
                time.sleep(0.02)

    scores = {f"case {i}": float(i % 3 > 0) for i in range(num_cases)}
    yield Declared([by_cases(scores, on_score=note)], {})


@contextmanager
def open_pair() -> Iterator[Declared]:
    """Two suites of cases."""
    scores = {f"case {i}": float(i % 2) for i in range(10)}
    suites = [by_cases(scores, name="odd"), by_cases({case: 1 - score for case, score in scores.items()}, name="even")]
    yield Declared(suites, {"core": "tiny-1"})
