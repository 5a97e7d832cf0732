"""Suites as tasks of a Ray cluster, each in a process of its own that ends with it. Ignores how a cluster is reached.

Needs the package ray, and on each machine this version and what the suites read: models, data, database.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from typing import Any

from service.errors import describe_error
from service.evals.isolation import Broken, OpenSuites, bare, limit_memory
from service.evals.runner import Journal, SuiteResult, run_suite, unmeasured
from verticals.contract import Example, Progress, Suite


class RayBench:
    """A domain's suites on a cluster; several may be run at once.

    Args:
        domain: Whose suites.
        open_suites: Opens them, there.
        ray: The module, connected.
        memory_mb: The most memory that a suite may take, MiB; None: what its machine has.
    """

    def __init__(self, domain: str, open_suites: OpenSuites, *, ray: Any, memory_mb: int | None = None) -> None:
        self.domain = domain
        self._open_suites, self._ray, self._memory_mb = open_suites, ray, memory_mb
        self._task = ray.remote(max_retries=0, max_calls=1, num_cpus=1)
        self._running: set[Any] = set()
        self._is_closed = False

    def declare(self, *, timeout_s: float) -> tuple[list[Suite], Mapping[str, str]]:
        """The suites, without what runs them, and the models' versions.

        Raises:
            Broken: the task's process ended, overran, or could not open them.
        """
        declared: tuple[list[Suite], Mapping[str, str]] = self._call(_declare, self._open_suites, timeout_s=timeout_s)
        return declared

    def run(self, suite: Suite, *, journal: Journal, progress: Progress, timeout_s: float) -> SuiteResult:
        """Run a declared suite; a process that dies or overruns is its failure. Examples are kept when it ends."""
        start_s = time.monotonic()
        try:
            asked = (self.domain, self._open_suites, suite.name, dict(journal.known), self._memory_mb)
            result: SuiteResult
            result, scored = self._call(_run, *asked, timeout_s=timeout_s)
            journal.keep(scored)
        except Broken as error:
            seconds = time.monotonic() - start_s
            return unmeasured(self.domain, suite, status="failed", reason=str(error), duration_s=seconds)
        return result

    def close(self) -> None:
        """End what runs; whoever waits for it gets `CancelledError`."""
        self._is_closed = True
        for task in list(self._running):
            self._ray.cancel(task, force=True)

    def _call(self, function: Any, *arguments: Any, timeout_s: float) -> Any:
        task = self._task(function).remote(*arguments)
        self._running.add(task)
        try:
            ready, _ = self._ray.wait([task], timeout=timeout_s)
            if not ready:
                self._ray.cancel(task, force=True)
                raise Broken(f"did not end within {timeout_s:.0f} s")
            kind, content = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            if self._is_closed:
                raise CancelledError from None
            raise Broken(f"its process on the cluster ended ({type(error).__name__})") from None
        finally:
            self._running.discard(task)
        if kind == "broken":
            raise Broken(content)
        return content


# --- on the cluster -------------------------------------------------------------------------------------------------


def _declare(open_suites: OpenSuites) -> tuple[str, Any]:
    try:
        with open_suites() as declared:
            return "declared", (bare(declared.suites), dict(declared.models))
    except Exception as error:  # noqa: BLE001  the reason belongs into the report
        return "broken", describe_error(error)


def _run(
    domain: str, open_suites: OpenSuites, name: str, known: Mapping[str, Example], memory_mb: int | None
) -> tuple[str, Any]:
    scored: dict[str, Example] = {}
    limit_memory(memory_mb)
    try:
        with open_suites() as declared:
            suite = next(suite for suite in declared.suites if suite.name == name)
            result = run_suite(
                domain,
                suite,
                lambda what, share: None,
                journal=Journal(known, scored.update),
                workers=declared.workers,
                count_tokens=declared.count_tokens,
            )
            return "result", (result, scored)
    except Exception as error:  # noqa: BLE001  the reason belongs into the report
        return "broken", describe_error(error)
