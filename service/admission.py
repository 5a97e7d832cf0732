"""Lets in what can be answered in time, and refuses the rest with 503 and Retry-After. Ignores what is asked.

A request takes its place when its body is there, so a slow sender holds none, and gives it back when its answer is
made, so a slow reader holds none; a stream of events gives it back with its first event, since from then on it mostly
waits, for the engine (whose own queue is as fair) or for its reader. Who asks is known by keys and tokens that were
checked a moment ago; all others share one place in the row, so that guessing keys costs none of the tenants theirs.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.auth import KeyRing
from service.callers import credential_of
from service.turns import Overloaded, Turns

if TYPE_CHECKING:
    from service.oidc import TokenVerifier

ALWAYS = frozenset({"/livez", "/healthz", "/metrics"})  # who watches must see most when it is full
MAX_STREAMS = 2048  # each holds a thread that mostly waits
UNREAD = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})  # whose body, if one is sent, no route takes in
NOBODY = ""
EVENTS = (b"content-type", b"text/event-stream")


class Admission:
    """Around the application, within what is done around every request."""

    def __init__(self, app: ASGIApp, *, turns: Turns, keys: KeyRing, tokens: TokenVerifier | None = None) -> None:
        self._app, self._turns, self._keys, self._tokens = app, turns, keys, tokens
        self._streams: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        visit = _Visit(self._turns, self._streams, self._tenant_of(credential_of(scope)))
        try:
            if not _has_body(scope):
                await visit.begin()
        except Overloaded as error:
            await refuse(error, scope, receive, send)
            return
        try:
            await self._app(scope, visit.receiving(receive), visit.sending(send))
        finally:
            visit.end()

    def _tenant_of(self, credential: str) -> str:
        """Whose it is, if it was checked a moment ago; whether to check it again is for whoever answers."""
        caller = self._keys.known(credential) or (self._tokens.known(credential) if self._tokens else None)
        return caller.tenant if caller else NOBODY


class _Visit:
    """One request's place, and after that its stream."""

    def __init__(self, turns: Turns, streams: Counter[str], tenant: str) -> None:
        self._turns, self._streams, self._tenant = turns, streams, tenant
        self._has_place = self._is_stream = False

    async def begin(self) -> None:
        if self._streams[self._tenant] >= MAX_STREAMS - self._streams.total():
            raise Overloaded(1)
        await self._turns.take(self._tenant)
        self._has_place = True

    def receiving(self, receive: Receive) -> Receive:
        """`receive`, which gives the body's end when the request's turn has come."""
        is_whole = self._has_place

        async def received() -> Message:
            nonlocal is_whole
            message = await receive()
            if not is_whole and message["type"] == "http.request" and not message.get("more_body"):
                is_whole = True
                try:
                    await self.begin()
                except Overloaded as error:  # FastAPI lets only this pass when it reads a body
                    headers = {"Retry-After": str(error.retry_after_s)}
                    raise HTTPException(error.status, str(error), headers) from error
            return message

        return received

    def sending(self, send: Send) -> Send:
        """`send`, which notices a stream, and that the work is done.

        The head goes out with the first of the body: it, too, may wait for a reader, of the answer before this one.
        """
        head: Message | None = None

        async def sent(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start" and not _is_of_events(message):
                head = message
                return
            if message["type"] == "http.response.start":
                self._is_stream = True
                self._streams[self._tenant] += 1
                self._give_back()
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                self._give_back()  # the work is done; its reader may be slow
            if head is not None:
                held, head = head, None
                await send(held)
            await send(message)

        return sent

    def end(self) -> None:
        self._give_back()
        if self._is_stream:
            self._streams[self._tenant] -= 1
            if not self._streams[self._tenant]:
                del self._streams[self._tenant]

    def _give_back(self) -> None:
        if self._has_place:
            self._has_place = False
            self._turns.give_back(self._tenant)


async def refuse(error: Overloaded, scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to a request that found no place."""
    request = Request(scope)
    body = problems.of_error(error, request_id=problems.request_id_of(request))
    answer = problems.answer(request, body, headers={"Retry-After": str(error.retry_after_s)})
    await answer(scope, receive, send)


def _is_of_events(head: Message) -> bool:
    return any(name == EVENTS[0] and value.startswith(EVENTS[1]) for name, value in head.get("headers", ()))


def _has_body(scope: Scope) -> bool:
    return scope["method"] not in UNREAD and any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 "))
        for name, value in scope["headers"]
    )
