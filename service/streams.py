"""Streams that outlive their connection: a client that lost it comes back for the rest. Ignores what the events mean.

They are kept in this process, so behind several processes a client must reach the one it began with. A stream that
nobody listens to is ended after a while, and with it the work behind it; how much is kept, and how long, is bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import structlog
from fastapi.responses import StreamingResponse

from service.sse import NOT_KEPT, Event
from verticals.contract import Conflict, Unavailable

_log = structlog.get_logger()


@dataclass(frozen=True)
class StreamLimits:
    """What is kept of streams."""

    idle_s: float = 30.0  # without a listener, before the work is stopped
    kept_s: float = 300.0  # after the end
    stream_bytes: int = 2**20  # of the newest events
    num_per_tenant: int = 16  # each running one holds a worker thread


class LiveStream:
    """Numbered events, from 0, of one running or ended answer."""

    def __init__(self, events: AsyncIterator[Event], limits: StreamLimits) -> None:
        self._limits = limits
        self._kept: deque[str] = deque()
        self._first = 0  # number of the oldest event that is kept
        self._num_bytes = 0
        self._listeners = 0
        self._changed = asyncio.Event()
        self.ended_at: float | None = None
        self._giving_up: asyncio.TimerHandle | None = None
        self._work = asyncio.create_task(self._run(events))
        self._work.add_done_callback(self._end)
        self._watch()

    async def _run(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            self._keep(event.encode(self._first + len(self._kept)))

    def _end(self, work: asyncio.Task[None]) -> None:
        self.ended_at = time.monotonic()
        self._changed.set()
        if not work.cancelled() and (error := work.exception()):
            _log.error("a stream broke off", error=type(error).__name__, exc_info=error)

    def _keep(self, event: str) -> None:
        self._kept.append(event)
        self._num_bytes += len(event)
        while self._num_bytes > self._limits.stream_bytes and len(self._kept) > 1:
            self._num_bytes -= len(self._kept.popleft())
            self._first += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def answer(self, after: int = -1) -> StreamingResponse:
        """The events after number `after`, those to come included.

        Raises:
            Conflict: some of them are no longer kept.
        """
        if after + 1 < self._first:
            raise Conflict("events of this stream are no longer kept", field="Last-Event-ID", value=after)
        return StreamingResponse(self._listen(after), media_type="text/event-stream", headers=NOT_KEPT)

    async def _listen(self, after: int) -> AsyncIterator[str]:
        number = max(after + 1, 0)
        self._listeners += 1
        try:
            while number >= self._first:  # else this listener is too slow: it may come back, and is told
                changed = self._changed
                if number < self._first + len(self._kept):
                    yield self._kept[number - self._first]
                    number += 1
                elif self.ended_at is not None:
                    return
                else:
                    await changed.wait()
        finally:
            self._listeners -= 1
            self._watch()

    def _watch(self) -> None:
        """Stop the work when nobody listens for a while."""
        if self._giving_up:
            self._giving_up.cancel()
        self._giving_up = asyncio.get_running_loop().call_later(self._limits.idle_s, self._stop_if_unheard)

    def _stop_if_unheard(self) -> None:
        if not self._listeners:
            self.stop()

    def stop(self) -> None:
        """End it now."""
        self._work.cancel()

    async def finished(self) -> None:
        """Wait until no more events come, however that came."""
        await asyncio.wait([self._work])


class LiveStreams:
    """The streams of this process by tenant and name; a stream may have several names."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._streams: dict[tuple[str, str], LiveStream] = {}

    def make_room(self, tenant: str) -> None:
        """Forget what is too old, and the oldest ended stream if the tenant has too many; call before work begins.

        Raises:
            Unavailable: all of them still run.
        """
        since = time.monotonic() - self._limits.kept_s
        self._forget(lambda stream: stream.ended_at is not None and stream.ended_at < since)
        mine = dict.fromkeys(stream for (owner, _), stream in self._streams.items() if owner == tenant)
        if len(mine) >= (limit := self._limits.num_per_tenant):
            ended = next((stream for stream in mine if stream.ended_at is not None), None)
            if ended is None:
                raise Unavailable("too many resumable streams run", value=limit, remedy="Let some of them end.")
            self._forget(lambda stream: stream is ended)

    def start(self, tenant: str, names: Iterable[str], events: AsyncIterator[Event]) -> LiveStream:
        """Begin to take `events`, whether anyone listens yet or not; each of `names` finds them."""
        stream = LiveStream(events, self._limits)
        self._streams |= {(tenant, name): stream for name in names}
        return stream

    def find(self, tenant: str, name: str) -> LiveStream | None:
        """The tenant's stream of this name, if it is still kept."""
        return self._streams.get((tenant, name))

    def close(self) -> None:
        """End all."""
        for stream in self._streams.values():
            stream.stop()
        self._streams.clear()

    def _forget(self, unwanted: Callable[[LiveStream], bool]) -> None:
        self._streams = {key: stream for key, stream in self._streams.items() if not unwanted(stream)}
