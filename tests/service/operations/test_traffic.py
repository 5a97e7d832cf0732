"""Rate, errors and latency of the last minutes, by vertical."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from service.monitoring import REQUEST_BUCKETS_S, Metrics
from service.operations.traffic import TrafficWatch, quantile


def test_signals_are_of_the_last_looks() -> None:
    metrics = Metrics(CollectorRegistry())
    watch = TrafficWatch(metrics)

    def ask(status: int, *, times: int) -> None:
        for _ in range(times):
            metrics.observe_request(vertical="finance", route="/x", method="POST", status=status, duration_s=0.03)

    ask(500, times=50)  # long ago
    assert watch.look(0) == []
    for now_s in range(30, 330, 30):
        ask(200, times=3)
        found = watch.look(now_s)
    ask(503, times=1)
    found = watch.look(330)

    values = {signal.name: (round(signal.value, 4), signal.weight) for signal in found}
    assert values == {"request_rate": (0.0933, 28), "error_share": (0.0357, 28), "latency_p95_s": (0.0488, 28)}


def test_a_quiet_vertical_has_a_rate_of_0_and_nothing_else() -> None:
    metrics = Metrics(CollectorRegistry())
    watch = TrafficWatch(metrics)
    metrics.observe_request(vertical="medical", route="/x", method="GET", status=200, duration_s=0.03)
    watch.look(0)

    assert [(signal.name, signal.value) for signal in watch.look(30)] == [("request_rate", 0)]


def test_a_quantile_lies_within_its_bucket() -> None:
    counts = [0] * (len(REQUEST_BUCKETS_S) + 1)
    counts[5], counts[7] = 90, 10  # 0.1 to 0.25 s, and 0.5 to 1 s

    assert quantile(counts) == pytest.approx(0.75)
    assert quantile(counts, 0.5) == pytest.approx(0.1 + 0.15 * 50 / 90)
    assert quantile([0] * len(REQUEST_BUCKETS_S) + [3]) == 60
