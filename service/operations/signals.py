"""What is watched: names, meaning and units of the signals, and their values of a moment. Ignores who makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

SIGNALS: Mapping[str, str] = {
    "request_rate": "Requests a second of late, by vertical.",
    "error_share": "Share of answers with a status of 500 or above of late, by vertical.",
    "latency_p95_s": "95th percentile of the seconds from request to last byte of late, by vertical.",
    "tokens_per_s": "Tokens generated a second of late.",
    "waiting_requests": "Requests queued for the engine.",
    "memory_bytes": "Resident memory of this process.",
    "memory_free_share": "Memory that this process may still take, over that and what it has.",
    "expert_utilisation_sd": "Standard deviation of the experts' share of tokens, of the most uneven layer, of late.",
    "expert_entropy_min": "Entropy of the experts' load over its maximum, of the most uneven layer, of late.",
    "expert_gini_max": "Gini coefficient of the experts' load, of the most uneven layer, of late.",
    "expert_cv_max": "Coefficient of variation of the experts' load, of the most uneven layer, of late.",
    "expert_dead_share": "Share of experts with less than a hundredth of the mean load, of all layers, of late.",
    "routing_drift": "Lower 95 % limit of the PSI of the routing against its reference, of the layer that moved most.",
    "quantization_error": "Relative rounding error of the weights that serve, of the layer with the largest.",
    "drift": "Lower 95 % limit of the PSI of inputs and outputs of seven days, by vertical and what is counted.",
    "feedback": "Share of answers that people found wanting, by vertical and kind of feedback.",
    "nightly_exit_code": "Exit code of the newest evaluation run that ended.",
    "nightly_age_h": "Hours since the newest evaluation run ended.",
}


@dataclass(frozen=True)
class Signal:
    """One value. `weight` is how many cases it rests on; where that means nothing, 1."""

    name: str
    subject: str
    value: float
    weight: float = 1.0

    @property
    def key(self) -> str:
        """Its name in samples."""
        return f"{self.name}|{self.subject}"


class SignalCollector(Collector):
    """The newest signals as gauges `trivium_<signal>{subject=...}`; subjects are of closed sets, never tenants."""

    def __init__(self) -> None:
        self.newest: tuple[Signal, ...] = ()
        self.firing: Mapping[tuple[str, str], int] = {}

    def describe(self) -> Iterable[Metric]:
        """Nothing: there is no value before the first look."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All signals there are, and the alarms that are on by rule."""
        for name, help_text in SIGNALS.items():
            gauge = GaugeMetricFamily(f"trivium_{name}", help_text, labels=["subject"])
            for signal in self.newest:
                if signal.name == name:
                    gauge.add_metric([signal.subject], signal.value)
            yield gauge
        alarms = GaugeMetricFamily("trivium_alarms", "Alarms that are on.", labels=["rule", "severity"])
        for labels, number in self.firing.items():
            alarms.add_metric(labels, number)
        yield alarms
