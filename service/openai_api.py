"""`/v1/chat/completions` and `/v1/models` as OpenAI's client speaks them. Ignores how an answer is found.

Two models are served: `trivium-support`, the support agent, whose answers carry their sources in the extension member
`trivium`; and `trivium-core`, the bare language model, with an adapter as `trivium-core:NAME`. An option that we do not
honour is refused, not dropped.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from fastapi import APIRouter, Request
from langchain_core.messages import AIMessageChunk

from service import problems
from service.auth import Caller
from service.kit import Kit
from service.openai_schemas import EXTENSIONS, OPENAI_SAMPLING, CompletionRequest
from service.routes import Authenticated, kit_of
from service.sse import event_stream, open_stream
from verticals.contract import InvalidInput, NotFound
from verticals.support.schemas import ChatRequest, Message

CORE = "trivium-core"
MODELS = ("trivium-support", CORE)

router = APIRouter(prefix="/v1", tags=["openai"])


@dataclass
class Piece:
    """A step of an answer: text or part of a call, and at the end why it stopped, token counts, what the agent adds."""

    text: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)  # with "index", as OpenAI streams them
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@router.get("/models", summary="The models that this server offers")
def list_models(request: Request, caller: Authenticated) -> dict[str, Any]:
    """OpenAI's model list."""
    names = _models(kit_of(request))
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "trivium"} for name in names]}


@router.post("/chat/completions", summary="Chat, as OpenAI's clients speak it", response_model=None)
async def complete(request: Request, asked: CompletionRequest, caller: Authenticated) -> Any:
    """One completion, whole or as a stream of chunks."""
    kit, request_id = kit_of(request), problems.request_id_of(request)
    if asked.model not in (models := _models(kit)):
        raise NotFound(f"must be one of {', '.join(models)}", field="model", value=asked.model)
    if asked.model != "trivium-support":  # the agent's operation is checked where it is invoked
        caller.require("core.generate")

    def start() -> Iterator[Piece]:
        if asked.model == "trivium-support":
            return _ask_agent(kit, asked, caller, request_id)
        return _ask_model(kit, asked, caller)

    pieces = await open_stream(start)
    if asked.stream:
        return event_stream(_chunks(pieces, asked, request_id=request_id))
    return await _whole(pieces, asked)


def _models(kit: Kit) -> tuple[str, ...]:
    """All that can be asked for; a remote engine has no adapters."""
    adapters: tuple[str, ...] = getattr(kit.resources.engine, "adapters", ())
    return (*MODELS, *(f"{CORE}:{name}" for name in adapters))


def _ask_agent(kit: Kit, asked: CompletionRequest, caller: Caller, request_id: str) -> Iterator[Piece]:
    """The support agent's events as pieces; sources, citations and ticket travel in the extension member."""
    for name in ("stop", *OPENAI_SAMPLING, *EXTENSIONS):
        if getattr(asked, name) is not None:
            raise InvalidInput("is not honoured by the support agent", field=name, remedy="Leave it out.")
    roles = {"developer": "system"}
    messages = [
        Message.model_validate({"role": roles.get(item.role, item.role), "content": item.text})
        for item in asked.messages
    ]
    chat = ChatRequest(
        messages=messages, max_tokens=asked.token_limit, temperature=asked.temperature or 0.0, seed=asked.seed
    )
    events = cast(Iterator[Any], kit.invoke("support", "chat", chat, caller=caller, request_id=request_id))
    extra: dict[str, Any] = {}
    for event in (wrapped.root for wrapped in events):
        if event.type == "delta":
            yield Piece(text=event.text)
        elif event.type == "sources":
            extra["sources"] = [source.model_dump(mode="json") for source in event.sources]
        elif event.type == "citation":
            extra.setdefault("citations", []).append(event.model_dump(mode="json", exclude={"type"}))
        elif event.type == "ticket":
            extra["ticket"] = event.ticket.model_dump(mode="json")
        else:
            extra |= {
                "answered": event.answered,
                "conversation_id": event.conversation_id,
                "answer_id": event.answer_id,
            }
            yield Piece(finish_reason=event.finish_reason, usage=event.usage.model_dump(), extra=extra)


def _ask_model(kit: Kit, asked: CompletionRequest, caller: Caller) -> Iterator[Piece]:
    """The bare model's tokens as pieces."""
    messages = [message.as_openai() for message in asked.messages]
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    adapter = asked.model.partition(":")[2]
    options = asked.sampling() | ({"adapter": adapter} if adapter else {})
    if kit.models is not None:  # tenants share no cached beginning; a remote server is not told who they are
        options["user"] = caller.tenant
    try:
        for chunk in kit.resources.chat_model.stream(messages, stop=stop, **options):
            yield _piece(chunk)
    except ValueError as error:  # the engine's own rules: context length, sampling values, grammars
        raise _invalid(error) from error


def _invalid(error: ValueError) -> InvalidInput:
    """The engine's "field: rule", with the field as this API calls it."""
    name, rule = problems.named_rule(error)
    name = {"prompt_ids": "messages", "grammar": "response_format"}.get(name, name)
    if name not in CompletionRequest.model_fields:
        return InvalidInput(str(error))
    return InvalidInput(rule, field=name)


def _piece(chunk: AIMessageChunk) -> Piece:
    counts = chunk.usage_metadata
    usage = {"prompt_tokens": counts["input_tokens"], "completion_tokens": counts["output_tokens"]} if counts else {}
    calls = [
        {
            "index": part["index"],
            **({"id": part["id"], "type": "function"} if part["id"] else {}),
            "function": {"arguments": part["args"] or "", **({"name": part["name"]} if part["name"] else {})},
        }
        for part in chunk.tool_call_chunks
    ]
    return Piece(
        text=str(chunk.content),
        tool_calls=calls,
        logprobs=(chunk.response_metadata.get("logprobs") or {}).get("content") or [],
        finish_reason=chunk.response_metadata.get("finish_reason"),
        usage=usage,
    )


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
