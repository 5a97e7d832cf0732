"""What an evaluation is: data set + solver + scorer, in the manner of inspect_ai. Ignores who runs it and compares.

`verticals.contract` offers these names too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Progress = Callable[[str, float], None]  # (what is being done, share done 0-1)


@dataclass(frozen=True)
class Metric:
    """One figure of a suite. `higher_is_better` decides what counts as a regression."""

    name: str
    value: float
    low: float  # 95 % interval
    high: float
    n: int
    higher_is_better: bool = True
    baseline: str | None = None  # "constant report", with its figure in `baseline_value`
    baseline_value: float | None = None


@dataclass(frozen=True)
class Example:
    """How one case of a suite was scored."""

    scores: Mapping[str, float]  # finite; runs are compared pair by pair where a metric is the mean of its name here
    slices: Mapping[str, str] = field(default_factory=dict)  # what it belongs to: {"language": "zh"}
    shown: str = ""  # what a reader of the report sees of it; personal data in it is masked before it is kept
    tokens: int = 0  # read and generated, where the answer says so


@dataclass(frozen=True)
class Cases:
    """A suite's `run`, case by case: what is scored is kept as it comes, and a stopped run goes on after it.

    `read` gives the cases by an id that stays the same from run to run and names nobody; `score` may be called from
    several threads when a live API is judged, and its outcome may depend on the case alone; `summarise` makes the
    metrics, from the examples in the order of `read`.
    """

    read: Callable[[Progress], Mapping[str, Any]]
    score: Callable[[Any], Example]
    summarise: Callable[[Mapping[str, Example]], Sequence[Metric]]

    def __call__(self, progress: Progress) -> Sequence[Metric]:
        """Score every case, in order."""
        cases, scored = self.read(progress), {}
        for i, (case_id, case) in enumerate(cases.items()):
            progress("Scoring", i / len(cases))
            scored[case_id] = self.score(case)
        return self.summarise(scored)


@dataclass(frozen=True)
class Suite:
    """A named evaluation. `run` returns metrics with intervals; `dataset` says what, which split, which licence.

    A suite whose data is not there raises `Unavailable`, which the report shows as skipped with the reason.
    """

    name: str
    dataset: str
    split: str
    solver: str
    scorer: str
    run: Callable[[Progress], Sequence[Metric]]  # or `Cases`
    operations: tuple[str, ...] = ()  # that it goes through and needs nothing else, so that it can judge a live API
    inside: str = ""  # why it cannot, without operations: "it refits the model in each fold"
