"""Rate, errors and latency of late by vertical, from what the metrics counted. Ignores the engine and the experts."""

from __future__ import annotations

from collections.abc import Sequence

from service.monitoring import REQUEST_BUCKETS_S, Metrics, Traffic
from service.operations.signals import Signal

WINDOW = 10  # looks that "of late" means, so that a quiet minute has its figures too


class TrafficWatch:
    """Remembers the counts of the last looks."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._looks: list[tuple[float, dict[str, Traffic]]] = []

    def look(self, now_s: float) -> list[Signal]:
        """The signals of the verticals that were asked anything since the oldest look that is remembered."""
        self._looks = [*self._looks[-WINDOW:], (now_s, self._metrics.traffic())]
        (first_s, before), (last_s, after) = self._looks[0], self._looks[-1]
        found: list[Signal] = []
        if last_s <= first_s:
            return found
        for vertical, now in after.items():
            gone = before.get(vertical, Traffic())
            requests, errors = now.requests - gone.requests, now.errors - gone.errors
            found.append(Signal("request_rate", vertical, requests / (last_s - first_s), requests))
            if requests:
                found.append(Signal("error_share", vertical, errors / requests, requests))
                since = [a - b for a, b in zip(now.buckets, gone.buckets, strict=True)]
                found.append(Signal("latency_p95_s", vertical, quantile(since), requests))
        return found


def quantile(counts: Sequence[float], share: float = 0.95) -> float:
    """Of a histogram with `REQUEST_BUCKETS_S` as upper bounds and one more for what is beyond; even within a bucket.

    Args:
        counts: Observations of each bucket, not cumulative.
    """
    wanted, seen, low = share * sum(counts), 0.0, 0.0
    for high, count in zip(REQUEST_BUCKETS_S, counts, strict=False):
        if count and seen + count >= wanted:
            return low + (high - low) * (wanted - seen) / count
        seen, low = seen + count, high
    return low
