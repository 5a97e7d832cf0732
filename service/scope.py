"""What belongs to the request at hand: its vertical, its metrics, its trace. Ignores what is asked.

Set once around a request (`service/envelope.py`) and found by whatever runs for it, also in threads that took its
context along, as asyncio's, anyio's and LangGraph's do. Work that no request waits for has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from core_model.timeline import Timeline
    from service.monitoring import Metrics
    from service.tracing import Tracing

CORE = "core"  # the vertical of what is asked of the bare model
SERVICE = "service"  # the vertical of what belongs to none


@dataclass(frozen=True)
class RequestScope:
    """One request's. `tracing` is None where nothing is traced."""

    vertical: str
    metrics: Metrics
    tracing: Tracing | None = None


SCOPE: ContextVar[RequestScope | None] = ContextVar("trivium_request", default=None)


def count_for(vertical: str) -> None:
    """Let the request at hand belong to `vertical`: for a route whose body tells. Called in the request's own task."""
    scope = SCOPE.get()
    if scope is not None:
        SCOPE.set(replace(scope, vertical=vertical))


def span(name: str, **attributes: Any) -> AbstractContextManager[Any]:
    """A part of the request at hand, as a span of its trace; nothing where it is not traced.

    Args:
        attributes: Names, numbers and ids; never what somebody said.
    """
    scope = SCOPE.get()
    return _NOTHING if scope is None or scope.tracing is None else scope.tracing.span(name, attributes)


def in_span(name: str, events: Iterator[Any]) -> Iterator[Any]:
    """`events` as they are; where the request is traced, with a span from the first that is asked for to the end."""
    scope = SCOPE.get()
    return events if scope is None or scope.tracing is None else _within(name, events)


def _within(name: str, events: Iterator[Any]) -> Iterator[Any]:
    with span(name):
        yield from events


def observe_generation(timeline: Timeline) -> None:
    """`core_model.timeline.Observe`: the tokens and spans of the request that they were made for."""
    scope = SCOPE.get()
    if scope is not None:
        scope.metrics.observe_generation(scope.vertical, timeline)
        if scope.tracing is not None:
            scope.tracing.add_generation(timeline)


def carry_trace(request: httpx.Request) -> None:
    """Let a request to another service belong to the trace at hand."""
    request.headers.update(trace_headers())


def trace_headers() -> dict[str, str]:
    """What carries the trace at hand on to another service: `traceparent`, or nothing."""
    scope = SCOPE.get()
    return {} if scope is None or scope.tracing is None else scope.tracing.headers()


_NOTHING: AbstractContextManager[Any] = nullcontext()
