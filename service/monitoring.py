"""What the service tells its operators: Prometheus metrics and structured logs. Ignores auditing and evaluation.

Neither may carry request or response bodies, personal data or prompt text: metrics have closed label sets, log events
lose fields that could hold such text, and an exception is logged by its type and place, not by its message.
"""

from __future__ import annotations

import logging
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from structlog.typing import EventDict, Processor, WrappedLogger

from core_model.expert_stats import describe_layers
from core_model.replicas import ReplicaStats
from service.errors import describe_error, places_of
from verticals.support.safety.personal_data import mask

if TYPE_CHECKING:
    from core_model.timeline import Timeline

# Upper bounds in seconds: a cached read takes milliseconds, a long answer on a CPU takes a minute.
REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass
class Traffic:
    """What one vertical was asked since the start. `buckets` counts durations by upper bound; the last has none."""

    requests: int = 0
    errors: int = 0  # answered with 500 or above
    buckets: list[int] = field(default_factory=lambda: [0] * (len(REQUEST_BUCKETS_S) + 1))


class EngineStats(Protocol):
    """The part of `core_model.engine.EngineStats` that is exported; totals count since the engine was made."""

    @property
    def running(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def paused(self) -> int: ...

    @property
    def pages_total(self) -> int: ...

    @property
    def pages_free(self) -> int: ...

    @property
    def pages_cached(self) -> int: ...

    @property
    def preemptions_total(self) -> int: ...

    @property
    def cached_prompt_tokens_total(self) -> int: ...

    @property
    def drafted_tokens_total(self) -> int: ...

    @property
    def accepted_tokens_total(self) -> int: ...

    @property
    def prompt_tokens_total(self) -> int: ...

    @property
    def generated_tokens_total(self) -> int: ...


class Metrics:
    """The service's Prometheus metrics, in the registry that is passed in.

    `route` is always the route's template ("/v1/medical/studies/{study_id}"): paths hold ids and are unbounded.
    `vertical` is one's name, "core" or "service"; there is no label for a tenant.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "trivium_http_requests",
            "HTTP requests answered.",
            ["vertical", "route", "method", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "trivium_http_request_duration_seconds",
            "Time from request to the last byte of its answer.",
            ["vertical", "route", "method"],
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self._tokens = Counter(
            "trivium_tokens", "Tokens of the requests of a vertical.", ["vertical", "kind"], registry=registry
        )
        self._edition_tokens = Counter(
            "trivium_core_tokens",
            "Tokens of requests, by the edition of the core.",
            ["edition", "kind"],
            registry=registry,
        )
        self._first_token_seconds = Histogram(
            "trivium_first_token_seconds",
            "Time from queueing to the first token of an answer.",
            ["vertical"],
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self._traffic: dict[str, Traffic] = {}
        self._process = ProcessCollector(registry=registry)  # memory, processor time and open files
        self._series = lru_cache(maxsize=1024)(self._series_of)  # labels are looked up under a lock

    def observe_request(self, *, vertical: str, route: str, method: str, status: int, duration_s: float) -> None:
        """Count one answered HTTP request; on the event loop's thread alone."""
        count, seconds = self._series(vertical, route, method, status)
        count.inc()
        seconds.observe(duration_s)
        traffic = self._traffic.setdefault(vertical, Traffic())
        traffic.requests += 1
        traffic.errors += status >= 500
        traffic.buckets[bisect_left(REQUEST_BUCKETS_S, duration_s)] += 1

    def observe_generation(self, vertical: str, timeline: Timeline) -> None:
        """Count the tokens of one request to the engine, and how long it waited for the first."""
        edition = timeline.model_version.partition("+")[0]  # without what rebalancing adds: a label has few values
        for kind in ("prompt", "cached", "generated"):
            number = getattr(timeline, f"num_{kind}")
            self._tokens.labels(vertical, kind).inc(number)
            self._edition_tokens.labels(edition, kind).inc(number)
        if timeline.first_token_ns:
            seconds = (timeline.first_token_ns - timeline.queued_ns) / 1e9
            self._first_token_seconds.labels(vertical).observe(seconds)

    def resident_bytes(self) -> float:
        """Memory of this process; 0 where the system does not tell."""
        samples = (sample for metric in self._process.collect() for sample in metric.samples)
        return next((sample.value for sample in samples if sample.name == "process_resident_memory_bytes"), 0.0)

    def traffic(self) -> dict[str, Traffic]:
        """Each vertical's requests since the start, as they are now."""
        return {name: replace(seen, buckets=list(seen.buckets)) for name, seen in [*self._traffic.items()]}

    def _series_of(self, vertical: str, route: str, method: str, status: int) -> tuple[Counter, Histogram]:
        count = self._requests.labels(vertical, route, method, str(status))
        return count, self._request_seconds.labels(vertical, route, method)

    def watch_engine(self, stats: Callable[[], EngineStats]) -> None:
        """Export the engine's queue and token counts; `stats` is called at every scrape, so it must be quick."""
        self.registry.register(_EngineCollector(stats))

    def watch_experts(self, counts: Callable[[], Mapping[int, Sequence[int]]]) -> None:
        """Export how evenly each MoE layer's experts are used.

        `counts` gives tokens per expert by layer since the start (`Decoder.expert_counts`), at every scrape.
        """
        self.registry.register(_ExpertCollector(counts))

    def watch_replicas(self, stats: Callable[[], Sequence[ReplicaStats]]) -> None:
        """Export how each server of a remote engine is; the label set is closed: the settings name them."""
        self.registry.register(_ReplicaCollector(stats))

    def watch_models(self, faults: Callable[[], Mapping[str, str]]) -> None:
        """Export for how many models another version serves than the one in force."""
        degraded = Gauge("trivium_models_degraded", "Models that serve by an earlier version.", registry=self.registry)
        degraded.set_function(lambda: len(faults()))

    def render(self) -> tuple[bytes, str]:
        """The body of `/metrics` and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class _EngineCollector(Collector):
    """Reads one snapshot per scrape, so that the figures of a scrape belong together."""

    def __init__(self, stats: Callable[[], EngineStats]) -> None:
        self._stats = stats

    def describe(self) -> Iterable[Metric]:
        return ()  # else registering would already call `stats`

    def collect(self) -> Iterable[Metric]:
        stats = self._stats()
        yield GaugeMetricFamily("trivium_engine_running_requests", "Requests being decoded.", stats.running)
        yield GaugeMetricFamily("trivium_engine_waiting_requests", "Requests queued for the engine.", stats.waiting)
        yield GaugeMetricFamily("trivium_engine_paused_requests", "Requests whose reader is behind.", stats.paused)
        yield GaugeMetricFamily("trivium_cache_pages", "Pages of the KV cache.", stats.pages_total)
        yield GaugeMetricFamily("trivium_cache_free_pages", "Pages with nothing in them.", stats.pages_free)
        yield GaugeMetricFamily("trivium_cache_reusable_pages", "Pages kept for later prompts.", stats.pages_cached)
        yield CounterMetricFamily("trivium_preemptions", "Requests that gave way to others.", stats.preemptions_total)
        reused = stats.cached_prompt_tokens_total
        yield CounterMetricFamily("trivium_cached_prompt_tokens", "Prompt tokens found in the cache.", reused)
        drafted, accepted = stats.drafted_tokens_total, stats.accepted_tokens_total
        yield CounterMetricFamily("trivium_drafted_tokens", "Tokens that were guessed.", drafted)
        yield CounterMetricFamily("trivium_accepted_tokens", "Guesses that were right.", accepted)
        yield CounterMetricFamily("trivium_prompt_tokens", "Prompt tokens read.", stats.prompt_tokens_total)
        yield CounterMetricFamily("trivium_generated_tokens", "Tokens generated.", stats.generated_tokens_total)


class _ReplicaCollector(Collector):
    def __init__(self, stats: Callable[[], Sequence[ReplicaStats]]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("trivium_replica_up", "Whether it gets new requests.", labels=["replica"])
        running = GaugeMetricFamily("trivium_replica_running_requests", "Requests it answers.", labels=["replica"])
        ended = CounterMetricFamily("trivium_replica_requests", "Requests ended.", labels=["replica", "outcome"])
        for each in self._stats():
            up.add_metric([each.name], each.is_up)
            running.add_metric([each.name], each.running)
            for outcome in ("answered", "busy", "failed"):
                ended.add_metric([each.name, outcome], getattr(each, f"{outcome}_total"))
        yield from (up, running, ended)


class _ExpertCollector(Collector):
    """Figures of balance per layer; the label set is closed: a model has so many layers."""

    def __init__(self, counts: Callable[[], Mapping[int, Sequence[int]]]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        return ()  # else registering would already ask for counts

    def collect(self) -> Iterable[Metric]:
        load = describe_layers(self._counts())
        pairs = CounterMetricFamily("trivium_expert_tokens", "Token-expert pairs routed.", labels=["layer"])
        for layer_idx, stats in load.items():
            pairs.add_metric([str(layer_idx)], stats.num_pairs)
        yield pairs
        for figure, help_text in _EXPERT_FIGURES.items():
            gauge = GaugeMetricFamily(f"trivium_expert_{figure}", help_text, labels=["layer"])
            for layer_idx, stats in load.items():
                gauge.add_metric([str(layer_idx)], float(getattr(stats, figure)))
            yield gauge


_EXPERT_FIGURES = {
    "entropy": "Entropy of the experts' load over its maximum; 1 is even.",
    "gini": "Gini coefficient of the experts' load; 0 is even.",
    "cv": "Coefficient of variation of the experts' load; 0 is even.",
    "max_over_mean": "Load of the busiest expert over the mean; 1 is even.",
    "num_dead": "Experts with less than a hundredth of the mean load.",
}


# --- logs -------------------------------------------------------------------------------------------------------------

# Fields whose values may hold a body, personal data or a secret.
PRIVATE_FIELDS = frozenset(
    {"api_key", "answer", "applicant", "authorization", "body", "content", "cookie", "document", "headers", "input"}
    | {"message", "messages", "output", "password", "patient", "payload", "prompt", "query", "request", "response"}
    | {"secret", "text", "token"}
)
MAX_FIELD_CHARS = 200
OURS = ("core_model", "retrieval", "verticals", "service")


def _strip_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace exc_info by type, place and call path: a rendered traceback would print the message."""
    exc_info = event.pop("exc_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        event["error"] = describe_error(error)
        event["trace"] = " > ".join(places_of(error.__traceback__)[-8:])
    return event


@lru_cache(maxsize=1024)
def _masked(text: str) -> str:
    return mask(text)  # methods, routes and messages come again and again


def _strip_private(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep short scalars without personal data; of what could be a body, keep only what it is and how long."""
    for name, value in event.items():
        if name == "event" and isinstance(value, str):
            event[name] = _masked(value)
        if name in ("event", "trace", "request_id") or name.startswith("_"):  # an id is ours
            continue
        if name.lower() in PRIVATE_FIELDS:
            event[name] = f"[{type(value).__name__} removed]"
        elif isinstance(value, str):
            event[name] = (
                _masked(value) if len(value) <= MAX_FIELD_CHARS else f"[str of {len(value)} characters removed]"
            )
        elif isinstance(value, Path):
            event[name] = str(value)
        elif value is not None and not isinstance(value, bool | int | float):
            event[name] = f"[{type(value).__name__} removed]"
    return event


class _LossyFile:
    """A text file that loses what cannot be written: a disk that is full fails no request because of its log line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def configure_logging(level: str, *, json: bool) -> None:
    """Send structlog's and the standard library's events to standard error, one line each. Called once, by wiring.

    Args:
        level: "debug", "info", "warning" or "error".
        json: One JSON object a line; otherwise text for a terminal.

    Raises:
        ValueError: `level` is not a level.
    """
    levels = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
    if level not in levels:
        raise ValueError(f"level: must be one of {', '.join(levels)} (got {level!r}).")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _strip_exception,
        _strip_private,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries speak only of trouble: some write URLs with queries, or whole bodies, below that.
    root.setLevel(max(levels[level], logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(levels[level])
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(levels[level]),
        # Not by way of `logging`: a third of the time.
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _LossyFile(sys.stderr))),
        cache_logger_on_first_use=False,
    )
