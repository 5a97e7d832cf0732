"""`/v1/responses` as OpenAI's client speaks it: create, read, resume, delete. Ignores how an answer is found.

The models are those of chat completions. What the support agent adds travels in the member `trivium`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Body, Query, Request
from pydantic import TypeAdapter

from service import problems
from service.auth import Caller
from service.callers import Authenticated, kit_of
from service.disconnects import unless_gone
from service.idempotent_routes import IdempotentRoute, last_event_id, streams_of
from service.pieces import SUPPORT, answer_pieces, check_model, model_names
from service.responses_events import ResponseWriter, new_response
from service.responses_schemas import FIELDS, Item, ResponseRequest
from service.responses_store import ResponseStore
from service.scope import count_for
from service.sse import OR_EVENTS, Event, EventStream, open_stream
from service.streams import LiveStream
from verticals.contract import Conflict, Decision, InvalidInput

EXAMPLES: Any = {
    "question": {"value": {"model": SUPPORT, "input": "How long can I return a lamp?"}},
    "resumable stream": {"value": {"model": SUPPORT, "input": "Hello", "stream": True, "background": True}},
}

router = APIRouter(prefix="/v1", tags=["openai"], route_class=IdempotentRoute)
_items: TypeAdapter[list[Item]] = TypeAdapter(list[Item])


@router.post("/responses", summary="A response, as OpenAI's clients speak it", response_model=None, responses=OR_EVENTS)
async def create(
    request: Request, asked: Annotated[ResponseRequest, Body(openapi_examples=EXAMPLES)], caller: Authenticated
) -> Any:
    """One response, whole or as a stream of typed events."""
    kit, request_id = kit_of(request), problems.request_id_of(request)
    if asked.model == SUPPORT:
        count_for("support")
    check_model(kit, asked.model, caller)
    if asked.background and not asked.stream:
        raise InvalidInput("is honoured with stream only", field="background", remedy="Set stream, or leave it out.")
    store = ResponseStore(kit.sessions, caller)
    chain = await anyio.to_thread.run_sync(store.chain, asked.previous_response_id)
    noted = request.state.answered_by = dict[str, str]()
    start = partial(
        answer_pieces,
        kit,
        asked.as_completion(_items.validate_python(chain.items)),
        caller=caller,
        request_id=request_id,
        conversation_id=chain.conversation_id,
        answered_by=noted,
    )
    if asked.background:
        streams_of(request).make_room(caller.tenant)
    turn = _Turn(asked, store, request_id)
    try:
        pieces = await open_stream(start)
        if asked.stream:
            name = _stream_name(caller, asked.model, turn.writer.response["id"]) if asked.background else None
            return EventStream(turn.events(pieces), resumable_as=name)
        return await unless_gone(request, turn.whole(pieces))
    except InvalidInput as error:
        raise InvalidInput(error.rule, field=FIELDS.get(error.field or "", error.field), remedy=error.remedy) from error


@router.get(
    "/responses/{response_id}",
    summary="A stored response, or the rest of a running one",
    response_model=None,
    responses=OR_EVENTS,
)
def retrieve(
    response_id: str,
    request: Request,
    caller: Authenticated,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0)] = None,
) -> Any:
    """With `stream`, the events of a `background` response after `starting_after` (or `Last-Event-ID`)."""
    running = _running(request, caller, response_id)
    if running and (stream or running.ended_at is None):
        if not stream:
            raise Conflict("is being made", field="response_id", remedy="Read it with stream=true.")
        return running.answer(last_event_id(request) if starting_after is None else starting_after)
    body = _stored(request, caller, response_id)
    if stream:
        raise Conflict("its events are no longer kept", field="stream", remedy="Read it without stream.")
    return body


@router.delete("/responses/{response_id}", summary="Forget a stored response")
def delete(response_id: str, request: Request, caller: Authenticated) -> dict[str, Any]:
    """It is gone, and cannot be continued."""
    _stored(request, caller, response_id)
    kit = kit_of(request)
    ResponseStore(kit.sessions, caller).delete(response_id)
    digest = hashlib.sha256(response_id.encode()).hexdigest()
    forgot = Decision("responses.delete", response_id, digest, {}, "none")
    kit.audit.record(forgot, who=caller.who(problems.request_id_of(request)))
    return {"id": response_id, "object": "response", "deleted": True}


def _stored(request: Request, caller: Caller, response_id: str) -> dict[str, Any]:
    kit = kit_of(request)
    body = ResponseStore(kit.sessions, caller).get(response_id)
    check_model(kit, body["model"], caller)
    return body


def _running(request: Request, caller: Caller, response_id: str) -> LiveStream | None:
    for model in model_names(kit := kit_of(request)):
        if stream := streams_of(request).find(caller.tenant, _stream_name(caller, model, response_id)):
            check_model(kit, model, caller)
            return stream
    return None


def _stream_name(caller: Caller, model: str, response_id: str) -> str:
    return f"{model} {response_id} {caller.customer or ''}"


class _Turn:
    """One response on its way from pieces to the client and the store."""

    def __init__(self, asked: ResponseRequest, store: ResponseStore, request_id: str) -> None:
        self._asked, self._store, self._request_id = asked, store, request_id
        self.writer = ResponseWriter(new_response(asked))

    async def whole(self, pieces: AsyncIterator[Any]) -> dict[str, Any]:
        """The whole response; a failure is raised."""
        async for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            deque(self.writer.add(piece), maxlen=0)
        deque(self.writer.end(), maxlen=0)
        await self._save()
        return self.writer.response

    async def events(self, pieces: AsyncIterator[Any]) -> AsyncIterator[Event]:
        """The response's events; it is stored before the last one, so that the client can go on from it."""
        try:
            for event in self.writer.begin():
                yield event
            async for piece in pieces:
                if isinstance(piece, Exception):
                    failure = problems.as_ours(piece, request_id=self._request_id)
                    last = self.writer.fail(str(failure))
                    break
                for event in self.writer.add(piece):
                    yield event
            else:
                *rest, last = self.writer.end()
                for event in rest:
                    yield event
            await self._save()
            yield last
        except asyncio.CancelledError:
            if self._asked.background:  # nobody came back for it
                self.writer.response["status"] = "cancelled"
                await self._save()
            raise

    async def _save(self) -> None:
        if self._asked.store:
            asked = [item.model_dump(exclude_none=True) for item in self._asked.input]
            await anyio.to_thread.run_sync(self._store.save, asked, self.writer.response)
