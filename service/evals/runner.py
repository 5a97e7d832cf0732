"""Runs one evaluation suite in this process and says how it ended. Ignores other processes, storage and comparison."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from service.errors import describe_error
from service.evals.cost import Cost, peak_memory_mb, reset_peak_memory
from verticals.contract import Cases, Example, InvalidInput, Metric, Progress, Suite, Unavailable
from verticals.support.safety.personal_data import mask

Status = Literal["ok", "skipped", "failed"]
BATCH = 8  # cases that are kept together; what a killed run does again, at most
MAX_ID, MAX_NAME = 200, 120  # characters, as the tables have them
MAX_SHOWN = 2_000  # characters of an example in the report


@dataclass(frozen=True)
class SuiteResult:
    """How one suite ended; `metrics` is empty unless `status` is "ok"."""

    domain: str
    name: str
    dataset: str
    split: str
    solver: str
    scorer: str
    status: Status
    reason: str | None
    duration_s: float
    metrics: tuple[Metric, ...]
    examples: Mapping[str, Example] = field(default_factory=dict)  # by id, in the suite's order
    cost: Cost | None = None  # None: the suite did not run

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the suite from run to run."""
        return (self.domain, self.name)


@dataclass(frozen=True)
class Journal:
    """What a suite's examples are kept in as they come.

    `known` are the examples of the same run that an earlier process scored.
    """

    known: Mapping[str, Example] = field(default_factory=dict)
    keep: Callable[[Mapping[str, Example]], None] = lambda scored: None


def _not_declared(progress: Progress) -> Sequence[Metric]:
    raise AssertionError("nothing stands behind it")


NO_SUITES = Suite("declaration", dataset="none", split="none", solver="none", scorer="none", run=_not_declared)


def declare_suites(declare: Callable[[], Sequence[Suite]]) -> list[Suite]:
    """The suites of a domain; if declaring them raises, one suite that ends with that error, so that others run."""
    try:
        return list(declare())
    except Exception as error:  # noqa: BLE001  one broken domain must not hide the others' figures
        cause = error

    def fail(progress: Progress) -> Sequence[Metric]:
        raise cause

    return [replace(NO_SUITES, run=fail)]


def unmeasured(domain: str, suite: Suite, *, status: Status, reason: str, duration_s: float = 0.0) -> SuiteResult:
    """The result of a suite that gave no figures."""
    return SuiteResult(
        domain=domain,
        name=suite.name,
        dataset=suite.dataset,
        split=suite.split,
        solver=suite.solver,
        scorer=suite.scorer,
        status=status,
        reason=reason,
        duration_s=duration_s,
        metrics=(),
    )


def run_suite(
    domain: str,
    suite: Suite,
    progress: Progress,
    *,
    journal: Journal | None = None,
    workers: int = 1,
    count_tokens: Callable[[], int] = lambda: 0,
) -> SuiteResult:
    """Run one suite; whatever it raises becomes its status and reason, so that the others still run.

    `Unavailable` (data or model not there) is a skip; any other exception is a failure, and so are no metrics at all,
    two metrics of one name and a figure that is not finite.

    Args:
        domain: Whose suite it is.
        suite: What to run.
        progress: Told what is being done and the share done, 0-1.
        journal: What was scored before, and what keeps what is scored now; for suites of `Cases` alone.
        workers: Cases that are scored at once.
        count_tokens: Tokens that the engine of this process has read and generated so far.
    """
    start_s, start_cpu_s, start_tokens = time.monotonic(), time.process_time(), count_tokens()
    reset_peak_memory()
    try:
        metrics, examples = _measure(suite, progress, journal or Journal(), workers)
        if flaw := _flaw(metrics):
            return unmeasured(domain, suite, status="failed", reason=flaw, duration_s=time.monotonic() - start_s)
    except Unavailable as error:
        seconds = time.monotonic() - start_s
        return unmeasured(domain, suite, status="skipped", reason=str(error), duration_s=seconds)
    except Exception as error:  # noqa: BLE001  one broken suite must not hide the other suites' figures
        seconds = time.monotonic() - start_s
        return unmeasured(domain, suite, status="failed", reason=describe_error(error), duration_s=seconds)
    tokens = count_tokens() - start_tokens or sum(example.tokens for example in examples.values())
    return replace(
        unmeasured(domain, suite, status="ok", reason="", duration_s=time.monotonic() - start_s),
        reason=None,
        metrics=metrics,
        examples=examples,
        cost=Cost(tokens=tokens, cpu_s=time.process_time() - start_cpu_s, peak_mb=peak_memory_mb()),
    )


def _measure(
    suite: Suite, progress: Progress, journal: Journal, workers: int
) -> tuple[tuple[Metric, ...], dict[str, Example]]:
    if not isinstance(suite.run, Cases):
        return tuple(suite.run(progress)), {}
    cases = suite.run.read(progress)
    scored = {case_id: journal.known[case_id] for case_id in cases if case_id in journal.known}
    left = [case_id for case_id in cases if case_id not in scored]
    for batch in _score(suite.run, cases, left, workers):
        scored |= batch
        journal.keep(batch)
        progress("scoring", len(scored) / len(cases))
    in_order = {case_id: scored[case_id] for case_id in cases}
    return tuple(suite.run.summarise(in_order)), in_order


def _score(run: Cases, cases: Mapping[str, Any], left: Sequence[str], workers: int) -> Iterator[dict[str, Example]]:
    """Examples batch by batch, personal data masked; threads only where several cases are scored at once."""
    with ThreadPoolExecutor(workers) as pool:
        scoring = map if workers == 1 else pool.map
        for start in range(0, len(left), BATCH * workers):
            ids = left[start : start + BATCH * workers]
            scored = list(scoring(run.score, [cases[case_id] for case_id in ids]))
            yield {case_id: _storable(case_id, example) for case_id, example in zip(ids, scored, strict=True)}


def _storable(case_id: str, example: Example) -> Example:
    """The example as it may be kept: personal data masked, cut, text that every database takes.

    Raises:
        InvalidInput: its id is too long, or a score is not finite.
    """
    if len(case_id) > MAX_ID:
        raise InvalidInput(f"must have at most {MAX_ID} characters", field="case id", value=len(case_id))
    for name, score in example.scores.items():
        if not math.isfinite(score):
            raise InvalidInput("must be finite", field=f"score {name!r}", value=score)
    text = example.shown[:MAX_SHOWN].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return replace(example, shown=mask(text))


def _flaw(metrics: Sequence[Metric]) -> str | None:
    """Why these metrics cannot be stored and compared; None when they can."""
    if not metrics:
        return "The suite returned no metrics."
    names = [metric.name for metric in metrics]
    for metric in metrics:
        if len(metric.name) > MAX_NAME:
            return f"A metric's name has {len(metric.name)} characters, at most {MAX_NAME} are kept."
        if names.count(metric.name) > 1:
            return f"Two metrics are named {metric.name!r}; names must differ."
        figures = [metric.value, metric.low, metric.high, metric.baseline_value or 0.0]
        if not all(math.isfinite(figure) for figure in figures):
            return f"Metric {metric.name!r} is not finite: {metric.value} [{metric.low}, {metric.high}]."
        if metric.low > metric.high:
            return f"Metric {metric.name!r} has an interval that runs backwards: [{metric.low}, {metric.high}]."
    return None
