"""Server-sent events from a handler's synchronous iterator. Ignores what the events mean.

The iterator runs in one worker thread and is closed there as soon as nobody listens, so generation stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from fastapi.responses import StreamingResponse

BUFFERED_EVENTS = 16
GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError)  # nobody listens any more


async def open_stream(start: Callable[[], Iterator[Any]]) -> AsyncIterator[Any]:
    """Run `start()` in a thread; returns when its first item is there, so that an early error is an HTTP error."""
    send, receive = anyio.create_memory_object_stream[Any](BUFFERED_EVENTS)

    def put(item: Any) -> None:
        try:
            anyio.from_thread.run_sync(send.send_nowait, item)  # no task of its own for each event
        except anyio.WouldBlock:
            anyio.from_thread.run(send.send, item)

    def work() -> None:
        iterator: Iterator[Any] = iter(())
        try:
            iterator = start()
            for item in iterator:
                put(item)
        except GONE:
            pass
        except Exception as error:  # noqa: BLE001  (carried to the listener)
            with contextlib.suppress(*GONE):
                put(error)
        finally:
            close = getattr(iterator, "close", None)
            if close:
                close()
            anyio.from_thread.run_sync(send.close)

    worker = asyncio.create_task(anyio.to_thread.run_sync(work))
    _running.add(worker)
    worker.add_done_callback(_running.discard)
    try:
        first = await receive.receive()
    except anyio.EndOfStream:
        first = None
    if isinstance(first, Exception):
        receive.close()
        raise first

    async def items() -> AsyncIterator[Any]:
        try:
            if first is not None:
                yield first
                async for item in receive:
                    yield item
        finally:
            receive.close()

    return items()


_running: set[asyncio.Task[None]] = set()  # asyncio keeps only weak references to tasks


@dataclass(frozen=True)
class Event:
    """One server-sent event; `name` is its `event:` line, left out if empty."""

    data: str  # one line: JSON
    name: str = ""

    def encode(self, number: int | None = None) -> str:
        """The event as it is sent; with `number` as its id, if it has one."""
        head = (f"event: {self.name}\n" if self.name else "") + ("" if number is None else f"id: {number}\n")
        return f"{head}data: {self.data}\n\n"


class EventStream(StreamingResponse):
    """An answer of events. They lie open, so that `service.streams` can keep them for clients that come back.

    Args:
        events: What is sent.
        resumable_as: The name under which a client may come back for the rest; None if the connection is all there is.
    """

    def __init__(self, events: AsyncIterator[Event], *, resumable_as: str | None = None) -> None:
        self.events, self.resumable_as = events, resumable_as
        super().__init__(_encoded(events), media_type="text/event-stream", headers=NOT_KEPT)


# For OpenAPI: an answer, or its events, as it was asked for.
OR_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}, "text/event-stream": {}}}}
NOT_KEPT = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # not by a cache, nor held back by nginx


async def _encoded(events: AsyncIterator[Event]) -> AsyncIterator[str]:
    async for event in events:
        yield event.encode()


def event_stream(items: AsyncIterator[str]) -> EventStream:
    """`items` (already JSON) as `text/event-stream`, ended by `[DONE]`."""

    async def events() -> AsyncIterator[Event]:
        async for item in items:
            yield Event(item)
        yield Event("[DONE]")

    return EventStream(events())
