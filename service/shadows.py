"""What a version on trial shows beside the one that serves: answers, failures and, in the shadow, differences.

A shadow is asked off the request's way, by the models' own functions, which have no effect; when it falls behind,
requests are skipped and counted as such. Ignores who answers whom, and where the counts are kept.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, NamedTuple

import structlog

from verticals.contract import TriviumError
from verticals.live import NamedModel, Said

MAX_WAITING = 256  # requests that a shadow has not read yet
MAX_DIFFERENCES = 50  # kept between two readings
_OfAnswers = Literal["old", "old_failed", "new", "new_failed", "same", "different", "failed", "skipped"]
_OfTexts = Literal["sampled", "same_start", "old_ms", "new_ms", "old_tokens", "new_tokens"]  # of the core alone
What = _OfAnswers | _OfTexts
_log = structlog.get_logger()


class Difference(NamedTuple):
    """A request on which two versions do not agree: name -> (old, new). No more of the request than its id."""

    request_id: str
    values: dict[str, tuple[Any, Any]]


class Compared(NamedTuple):
    """What one comparison adds to the counts, and where the two differ; empty where they do not."""

    counts: Mapping[What, int]
    differing: Mapping[str, tuple[Any, Any]] = {}


class Observer:
    """Counts of one trial, in this process.

    Args:
        model: On trial.
        number: Of the step that began the trial.
        pair: The serving version and the one in shadow; None: `answered` compares nothing.
        most: Comparisons that may wait; more are skipped.
    """

    def __init__(
        self,
        model: NamedModel,
        number: int,
        pair: tuple[Callable[[Any], Said], Callable[[Any], Said]] | None,
        *,
        most: int = MAX_WAITING,
    ) -> None:
        self.model, self.number, self._pair, self._most = model, number, pair, most
        self._counts: Counter[What] = Counter()
        self._differences: list[Difference] = []
        self._lock = threading.Lock()
        self._waiting, self._is_closed = 0, False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shadow")

    def answered(self, asked: Sequence[tuple[Any, str]], *, new: bool, error: Exception | None) -> None:
        """Note that one version answered.

        Args:
            asked: Requests of the model's operation with their ids.
            new: Whether the version on trial did.
            error: What came instead of an answer; the caller's own mistakes are no failures.
        """
        failed = error is not None and (not isinstance(error, TriviumError) or error.status >= 500)
        self._add("new" if new else "old", len(asked))
        if failed:
            self._add("new_failed" if new else "old_failed", len(asked))
        if self._pair is not None and error is None:
            for request, request_id in asked:
                self.later(request_id, partial(_compare, *self._pair, request))

    def drain(self) -> tuple[dict[What, int], list[Difference]]:
        """Counts and differences since the last call."""
        with self._lock:
            counts, differences = dict(self._counts), self._differences
            self._counts, self._differences = Counter(), []
        return counts, differences

    def settle(self) -> None:
        """Wait until all that waits is compared."""
        self._pool.submit(lambda: None).result()

    def close(self) -> None:
        """The trial has ended: what waits is not compared any more."""
        with self._lock:
            self._is_closed = True
            self._pool.shutdown(wait=False, cancel_futures=True)

    def later(self, request_id: str, compare: Callable[[], Compared]) -> None:
        """Compare off the request's way, one at a time; skipped, and counted as such, if too many wait."""
        with self._lock:
            if self._is_closed:  # by an answer that began before the end
                return
            if self._waiting >= self._most:
                self._counts["skipped"] += 1
                return
            self._waiting += 1
            self._pool.submit(self._compare, request_id, compare)

    def _compare(self, request_id: str, compare: Callable[[], Compared]) -> None:
        try:
            found = compare()
        except Exception as error:  # noqa: BLE001  (whatever the shadow does, nobody waits for it)
            _log.warning("a shadow failed", model=self.model.name, request_id=request_id, error=type(error).__name__)
            self._add("failed", 1)
        else:
            with self._lock:
                self._counts.update(found.counts)
                if found.differing and len(self._differences) < MAX_DIFFERENCES:
                    self._differences.append(Difference(request_id, {**found.differing}))
        finally:
            with self._lock:
                self._waiting -= 1

    def _add(self, what: What, number: int) -> None:
        with self._lock:
            self._counts[what] += number


def _compare(old_says: Callable[[Any], Said], new_says: Callable[[Any], Said], request: Any) -> Compared:
    old, new = old_says(request), new_says(request)
    differing = {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}
    return Compared({"different" if differing else "same": 1}, differing)
