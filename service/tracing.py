"""Traces by OpenTelemetry: a request and its parts as spans, sent to a collector. Ignores what is said in them.

Off unless `TRIVIUM_OTLP_URL` is set; then the packages of the extra `otel` are needed. Attributes are names, numbers
and ids: no prompt, no answer, no personal data, and an error is its type alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from service.scope import span
from verticals.contract import Unavailable

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from core_model.timeline import Timeline

SERVICE_NAME = "trivium"


class Tracing:
    """Makes the spans of one process.

    Args:
        exporter: Where ended spans go, in batches on a thread of its own.
        version: Of the program.

    Raises:
        Unavailable: the packages are missing.
    """

    def __init__(self, exporter: SpanExporter, *, version: str) -> None:
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise _missing() from error
        resource = Resource.create({"service.name": SERVICE_NAME, "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE_NAME, version)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, headers: Mapping[str, str], attributes: Mapping[str, Any]) -> Iterator[Any]:
        """The span of a whole request, within the caller's trace if `traceparent` names one."""
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract(headers)
        with self._tracer.start_as_current_span(
            "request",
            context=parent,
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,  # its message may quote a record
            set_status_on_exception=False,
        ) as current:
            yield current

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Any]) -> Iterator[Any]:
        """A part of the span at hand; what fails in it is told by its type."""
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as current:
            try:
                yield current
            except Exception as error:
                current.set_attribute("error.type", type(error).__name__)
                raise

    def add_generation(self, timeline: Timeline) -> None:
        """The spans of one request to the engine, from its own clock: queue, prefill, decode."""
        t = timeline
        parts: tuple[tuple[str, int, int, dict[str, int]], ...] = (
            ("queue", t.queued_ns, t.started_ns or t.ended_ns, {}),
            ("prefill", t.started_ns, t.first_token_ns or t.ended_ns, _counts(t, "prompt", "cached")),
            ("decode", t.first_token_ns, t.ended_ns, _counts(t, "generated")),
        )
        for name, start_ns, end_ns, attributes in parts:
            if start_ns:
                self._tracer.start_span(name, start_time=start_ns, attributes=attributes).end(end_time=end_ns)

    def headers(self) -> dict[str, str]:
        """`traceparent` of the span at hand."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    def flush(self) -> None:
        """Send what has ended so far."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class TracedSearch:
    """A knowledge base whose searches are spans; all else is its own."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def search(self, *args: Any, **options: Any) -> Any:
        """As `Retriever.search`."""
        with span("retrieval", **{"trivium.k": options.get("k", 0)}) as current:
            hits = self._inner.search(*args, **options)
            if current is not None:
                current.set_attribute("trivium.hits", len(hits))
            return hits


def open_tracing(url: str, *, version: str) -> Tracing:
    """Spans to an OTLP collector over HTTP.

    Args:
        url: Where it takes traces, for instance `http://127.0.0.1:4318/v1/traces`.

    Raises:
        Unavailable: the packages are missing.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise _missing() from error
    return Tracing(OTLPSpanExporter(endpoint=url), version=version)


def _counts(timeline: Timeline, *kinds: str) -> dict[str, int]:
    return {f"trivium.tokens.{kind}": getattr(timeline, f"num_{kind}") for kind in kinds}


def _missing() -> Unavailable:
    return Unavailable(
        "tracing needs packages that are not installed",
        field="TRIVIUM_OTLP_URL",
        remedy='Install them: `pip install -c constraints.txt "trivium[otel]"`.',
    )
