"""`/v1/chat/completions` and `/v1/models` as OpenAI's client speaks them. Ignores how an answer is found.

What the support agent adds to its text (sources, ticket) travels in the extension member `trivium`.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request

from service import problems
from service.callers import Authenticated, kit_of
from service.disconnects import unless_gone
from service.idempotent_routes import IdempotentRoute
from service.openai_schemas import CompletionRequest
from service.pieces import CORE, SUPPORT, Piece, answer_pieces, check_model, model_names
from service.scope import count_for
from service.sse import OR_EVENTS, event_stream, open_stream

EXAMPLES: Any = {
    "question": {
        "value": {"model": SUPPORT, "messages": [{"role": "user", "content": "How long can I return a lamp?"}]}
    },
    "stream": {
        "value": {"model": CORE, "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 32}
    },
}

router = APIRouter(prefix="/v1", tags=["openai"], route_class=IdempotentRoute)


@router.get("/models", summary="The models that this server offers")
def list_models(request: Request, caller: Authenticated) -> dict[str, Any]:
    """OpenAI's model list."""
    names = model_names(kit_of(request))
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "trivium"} for name in names]}


@router.post(
    "/chat/completions", summary="Chat, as OpenAI's clients speak it", response_model=None, responses=OR_EVENTS
)
async def complete(
    request: Request, asked: Annotated[CompletionRequest, Body(openapi_examples=EXAMPLES)], caller: Authenticated
) -> Any:
    """One completion, whole or as a stream of chunks."""
    kit, request_id = kit_of(request), problems.request_id_of(request)
    if asked.model == SUPPORT:
        count_for("support")
    check_model(kit, asked.model, caller)
    noted = request.state.answered_by = dict[str, str]()
    start = partial(answer_pieces, kit, asked, caller=caller, request_id=request_id, answered_by=noted)
    pieces = await open_stream(start)
    if asked.stream:
        return event_stream(_chunks(pieces, asked, request_id=request_id))
    return await unless_gone(request, _whole(pieces, asked))


async def _whole(pieces: AsyncIterator[Any], asked: CompletionRequest) -> dict[str, Any]:
    text, last = "", Piece(finish_reason="stop")
    usage: dict[str, int] = {}
    calls: dict[int, dict[str, Any]] = {}
    logprobs: list[dict[str, Any]] = []
    async for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        text += piece.text
        logprobs += piece.logprobs
        for part in piece.tool_calls:
            call = calls.setdefault(part["index"], {"function": {"name": "", "arguments": ""}})
            call |= {name: part[name] for name in ("id", "type") if name in part}
            call["function"] = {name: said + part["function"].get(name, "") for name, said in call["function"].items()}
        usage = piece.usage or usage
        last = piece if piece.finish_reason else last
    message = {"role": "assistant", "content": text or None, "tool_calls": [*calls.values()]}
    if not calls:
        message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": last.finish_reason, "logprobs": _logprobs(logprobs)}
    return {
        **_envelope(asked, "chat.completion"),
        "choices": [choice],
        "usage": _counted(usage),
        "trivium": last.extra,
    }


async def _chunks(pieces: AsyncIterator[Any], asked: CompletionRequest, *, request_id: str) -> AsyncIterator[str]:
    envelope = _envelope(asked, "chat.completion.chunk")
    usage: dict[str, int] = {}

    def chunk(delta: dict[str, Any], *, piece: Piece, is_last: bool = False) -> str:
        reason, logprobs = (piece.finish_reason, None) if is_last else (None, _logprobs(piece.logprobs))
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
        extra = {"trivium": piece.extra} if is_last and piece.extra else {}
        return json.dumps({**envelope, "choices": [choice], **extra})

    yield chunk({"role": "assistant", "content": ""}, piece=Piece())
    async for piece in pieces:
        if isinstance(piece, Exception):
            failure = problems.as_ours(piece, request_id=request_id)
            yield json.dumps({"error": {"message": str(failure), "type": "server_error", "code": request_id}})
            return
        usage = piece.usage or usage
        if piece.text or piece.tool_calls or piece.logprobs:
            calls = {"tool_calls": piece.tool_calls} if piece.tool_calls else {}
            yield chunk({"content": piece.text, **calls} if piece.text or not calls else calls, piece=piece)
        if piece.finish_reason:
            yield chunk({}, piece=piece, is_last=True)
    if asked.stream_options and asked.stream_options.include_usage:
        yield json.dumps({**envelope, "choices": [], "usage": _counted(usage)})


def _logprobs(content: list[dict[str, Any]]) -> dict[str, Any] | None:
    return {"content": content, "refusal": None} if content else None


def _envelope(asked: CompletionRequest, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": asked.model}


def _counted(usage: dict[str, int]) -> dict[str, int]:
    counted = {"prompt_tokens": usage.get("prompt_tokens", 0), "completion_tokens": usage.get("completion_tokens", 0)}
    return {**counted, "total_tokens": sum(counted.values())}
