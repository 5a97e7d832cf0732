"""Routes that carry out a request once per `Idempotency-Key`; a stream with a key is resumable. Ignores what they do.

The same request again gets the same answer. If the answer is a stream, it gets the events after `Last-Event-ID`, from
this process (see `service.streams`); a stream without a key ends with its connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, cast

import anyio.to_thread
from fastapi import Request, Response
from fastapi.routing import APIRoute

from service import problems
from service.admission import UNREAD
from service.auth import Caller
from service.callers import caller_of
from service.idempotency import FIELD, IdempotencyKeys, StoredAnswer
from service.sse import Event, EventStream
from service.streams import LiveStreams
from verticals.contract import Conflict, InvalidInput


class IdempotentRoute(APIRoute):
    """A route whose POST may carry an `Idempotency-Key`."""

    is_whole = False  # as `IdempotencyKeys.begin` asks

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, once per key."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            key = request.headers.get(FIELD)
            if key is not None and request.method == "POST":
                return await _once(request, key, handle, is_whole=self.is_whole)
            if self.body_field is None and request.method not in UNREAD:
                await request.body()  # with whose end its turn comes (`service/admission.py`)
            answer = await handle(request)
            if isinstance(answer, EventStream) and answer.resumable_as:
                streams, tenant = streams_of(request), caller_of(request).tenant
                return streams.start(tenant, [answer.resumable_as], answer.events).answer()
            return answer

        return guarded


class WholeRoute(IdempotentRoute):
    """One of a request that is one transaction: what a killed process had not committed is carried out anew."""

    is_whole = True


async def _once(
    request: Request, key: str, handle: Callable[[Request], Awaitable[Response]], *, is_whole: bool
) -> Response:
    caller = await anyio.to_thread.run_sync(caller_of, request)
    after = last_event_id(request)
    keys, streams = cast(IdempotencyKeys, request.app.state.idempotency_keys), streams_of(request)
    once = partial(
        keys.begin,
        *(caller.tenant, caller.key_id, key),
        customer=caller.customer,
        request_id=problems.request_id_of(request),
        is_whole=is_whole,
    )
    content = f"{request.url.path}?{request.url.query}\n".encode() + await request.body()
    streams.make_room(caller.tenant)
    try:
        claim = await anyio.to_thread.run_sync(once, content)
    except Conflict:  # not of another request: its stream may be here
        if (running := streams.find(caller.tenant, _stream_name(caller, key))) is None:
            raise
        return running.answer(after)
    if isinstance(claim, StoredAnswer):
        return Response(claim.text, claim.status, {"Idempotent-Replayed": "true"}, claim.media_type)
    if is_whole:
        request.state.on_record = partial(keys.record, claim)
    try:
        answer = await handle(request)
    except Exception:  # not where it was cancelled: a thread may be at work still, so the key stays taken
        await anyio.to_thread.run_sync(keys.release, claim)
        raise
    if isinstance(answer, EventStream):
        names = [_stream_name(caller, key), *filter(None, [answer.resumable_as])]
        events = _finishing(answer.events, partial(keys.finish, claim, None))
        return streams.start(caller.tenant, names, events).answer(after)
    await anyio.to_thread.run_sync(keys.finish, claim, _stored(answer))
    return answer


def _stream_name(caller: Caller, key: str) -> str:
    return f"{caller.key_id} {key}"


async def _finishing(events: AsyncIterator[Event], finish: Callable[[], None]) -> AsyncIterator[Event]:
    """`events`; at the end, however it comes, the key counts as used."""
    try:
        async for event in events:
            yield event
    finally:
        await anyio.to_thread.run_sync(finish)


def _stored(answer: Response) -> StoredAnswer | None:
    """What can be given again: JSON."""
    media_type = answer.headers.get("content-type", "")
    if not media_type.startswith("application/json"):
        return None
    return StoredAnswer(answer.status_code, media_type, bytes(answer.body).decode())


def streams_of(request: Request) -> LiveStreams:
    """The streams of this process."""
    return cast(LiveStreams, request.app.state.streams)


def last_event_id(request: Request) -> int:
    """Number of the last event that the client has; -1 if it has none.

    Raises:
        InvalidInput: it is no number.
    """
    text = request.headers.get("Last-Event-ID", "-1")
    if not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise InvalidInput("must be the id of an event", field="Last-Event-ID")
    return int(text)
