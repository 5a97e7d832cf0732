"""A short way for operations whose handler takes groups: what is in order is answered here, the rest by FastAPI.

The route, its OpenAPI and every error stay FastAPI's: a request that is unusual in any way (no known key, another media
type, an Idempotency-Key, a field that breaks a rule, a failure) goes on to it, as if it had not been looked at. So both
ways give the same answers and errors (docs/decisions/0017).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.admission import refuse
from service.auth import Caller, KeyRing
from service.callers import credential_of
from service.grouping import Grouping
from service.rate_limits import RateLimited, RateLimits
from service.scope import span
from service.turns import Overloaded, Turns
from verticals.contract import Context, Operation, PermissionDenied
from verticals.grouped import Grouped

if TYPE_CHECKING:
    from service.kit import Kit

_SLOW_HEADERS = frozenset({b"idempotency-key", b"content-encoding", b"expect"})


@dataclass(frozen=True)
class FastOperation:
    """One operation that is answered here."""

    scope: str
    request: type[BaseModel]
    grouping: Grouping
    route: _Route


@dataclass(frozen=True)
class _Route:
    """What log and metrics call it, as for FastAPI's own."""

    path: str


def fast_operations(kit: Kit) -> Mapping[str, FastOperation]:
    """Path -> operation, for each whose request is a JSON body and whose handler takes groups."""
    found = {}
    for vertical in kit.verticals.values():
        for operation in vertical.operations:
            handler = kit.handlers[vertical.name].get(operation.name)
            if isinstance(handler, Grouped) and _takes_json(operation):
                path = f"/v1/{vertical.name}{operation.path}"
                grouping = Grouping(handler, kit.audit.record_all)
                name = f"{vertical.name}.{operation.name}"
                found[path] = FastOperation(name, operation.request, grouping, _Route(path))
    return found


def _takes_json(operation: Operation) -> bool:
    return operation.method == "POST" and "{" not in operation.path and not operation.streams_file


class FastPath:
    """Around the application, within what is done around every request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        operations: Mapping[str, FastOperation],
        keys: KeyRing,
        rate_limits: RateLimits,
        turns: Turns,
    ) -> None:
        self._app, self._operations, self._keys, self._rate_limits = app, operations, keys, rate_limits
        self._turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._operations.get(scope["path"]) if scope["type"] == "http" else None
        caller = self._known_caller(scope, operation) if operation else None
        if operation is None or caller is None:
            await self._app(scope, receive, send)
            return
        scope["state"]["is_known"] = True  # the envelope need not ask
        messages: list[Message] = []
        body = await _read(receive, messages)
        try:
            answer = None if body is None else await self._ask(operation, caller, body, scope)
        except Overloaded as error:  # FastAPI's way costs more, and would be asked by all
            scope["route"] = operation.route
            await refuse(error, scope, receive, send)
            return
        if answer is None:
            await self._app(scope, _again(messages, receive), send)
            return
        scope["route"] = operation.route
        headers = [(b"content-length", str(len(answer)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _known_caller(self, scope: Scope, operation: FastOperation) -> Caller | None:
        """Who asks, if nothing about the request's head is unusual."""
        headers = dict(scope["headers"])
        usual = scope["method"] == "POST" and headers.get(b"content-type") == b"application/json"
        usual = usual and not scope["query_string"]
        if not usual or len(headers) != len(scope["headers"]) or not _SLOW_HEADERS.isdisjoint(headers):
            return None
        found = self._keys.recent(key := credential_of(scope))
        if found is None or found[0].customer is not None:
            return None
        if found[1]:
            checked = asyncio.get_running_loop().run_in_executor(None, self._keys.authenticate, key)
            checked.add_done_callback(lambda done: done.exception())  # a revoked key is forgotten; no need to be told
        try:
            found[0].require(operation.scope)
        except PermissionDenied:
            return None
        return found[0]

    async def _ask(self, operation: FastOperation, caller: Caller, body: bytes, scope: Scope) -> bytes | None:
        """The answer; None if the request must be looked at by FastAPI.

        Raises:
            Overloaded: too many wait.
        """
        state = scope["state"]
        try:
            request = operation.request.model_validate_json(body)
            state["rate_limit_headers"] = self._rate_limits.take(caller.key_id)
        except (ValidationError, RateLimited):
            return None
        state["caller"] = caller  # counted: whoever asks again in this request is not counted twice
        context = Context(**caller.who(state["request_id"]), record=_no_record)
        state["answered_by"] = context.answered_by
        await self._turns.take(caller.tenant)
        try:
            with span(operation.scope):
                return await operation.grouping.ask(request, context)
        except Exception:  # noqa: BLE001  (FastAPI's way meets it again, and tells it)
            return None
        finally:
            self._turns.give_back(caller.tenant)


def _no_record(*_: object, **__: object) -> None:
    raise AssertionError("a group's decisions are recorded together")


async def _read(receive: Receive, messages: list[Message]) -> bytes | None:
    """The whole body; None when the client went away."""
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            return None
        if not message.get("more_body", False):
            return b"".join(m.get("body", b"") for m in messages) if len(messages) > 1 else message.get("body", b"")


def _again(messages: list[Message], receive: Receive) -> Receive:
    """`receive` from the beginning."""
    left = iter(messages)

    async def replayed() -> Message:
        found = next(left, None)
        return await receive() if found is None else found

    return replayed
