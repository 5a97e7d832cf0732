"""Kept streams: numbered, bounded, stopped when nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.sse import Event
from service.streams import LiveStream, LiveStreams, StreamLimits
from verticals.contract import Conflict, Unavailable


class Source:
    """Counts to `to`, or until it is stopped."""

    def __init__(self, to: int) -> None:
        self.to, self.stopped = to, asyncio.Event()

    async def events(self) -> AsyncIterator[Event]:
        try:
            for number in range(self.to):
                yield Event(str(number))
                await asyncio.sleep(0)
        finally:
            self.stopped.set()


async def read(stream: LiveStream, after: int = -1) -> list[str]:
    return [str(chunk) async for chunk in stream.answer(after).body_iterator]


def test_every_listener_gets_all_events_from_where_it_asks() -> None:
    async def run() -> None:
        streams = LiveStreams(StreamLimits())
        streams.start("acme", ["a", "b"], Source(3).events())
        stream = streams.find("acme", "b")
        assert stream is not None
        first, second = await asyncio.gather(read(stream), read(stream, after=1))

        assert first == [f"id: {number}\ndata: {number}\n\n" for number in range(3)]
        assert second == first[2:]
        assert streams.find("other", "b") is None

    asyncio.run(run())


def test_work_stops_when_nobody_listens() -> None:
    async def run() -> None:
        source = Source(10**9)
        LiveStreams(StreamLimits(idle_s=0.01)).start("acme", ["a"], source.events())

        await asyncio.wait_for(source.stopped.wait(), 10)

    asyncio.run(run())


def test_only_the_newest_events_are_kept() -> None:
    async def run() -> None:
        stream = LiveStreams(StreamLimits(stream_bytes=50)).start("acme", ["a"], Source(100).events())
        await asyncio.wait_for(stream.finished(), 10)

        assert (await read(stream, after=97)) == ["id: 98\ndata: 98\n\n", "id: 99\ndata: 99\n\n"]
        with pytest.raises(Conflict, match="no longer kept"):
            stream.answer(after=3)

    asyncio.run(run())


def test_a_tenant_has_so_many_streams_and_ended_ones_make_room() -> None:
    async def run() -> None:
        streams = LiveStreams(StreamLimits(num_per_tenant=1))
        first = streams.start("acme", ["a"], Source(10**9).events())
        with pytest.raises(Unavailable, match="too many"):
            streams.make_room("acme")
        streams.make_room("other")
        first.stop()
        await asyncio.wait_for(first.finished(), 10)
        streams.make_room("acme")

        assert streams.find("acme", "a") is None

    asyncio.run(run())
