"""`/v1/chat/completions` and `/v1/models` as OpenAI's client speaks them. Ignores how an answer is found.

Two models are served: `trivium-support`, the support agent, whose answers carry their sources in the extension member
`trivium`; and `trivium-core`, the bare language model. An option that we do not honour is refused, not dropped.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Request
from langchain_core.messages import AIMessageChunk
from pydantic import BaseModel, ConfigDict, Field

from service import problems
from service.auth import Caller
from service.kit import Kit
from service.routes import Authenticated
from service.sse import event_stream, open_stream
from verticals.contract import InvalidInput, NotFound
from verticals.support.schemas import ChatRequest, Message

MODELS = ("trivium-support", "trivium-core")
MAX_COMPLETION_TOKENS = 1024

router = APIRouter(prefix="/v1", tags=["openai"])


class TextPart(BaseModel):
    """A piece of a message; only text is read."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message. `developer` is OpenAI's newer name for `system`."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    @property
    def text(self) -> str:
        """The message as one string."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """Whether the stream ends with a chunk that counts tokens."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class CompletionRequest(BaseModel):
    """The part of OpenAI's request that is honoured; anything else is refused by name."""

    model_config = ConfigDict(extra="forbid")

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: Literal[1] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None

    @property
    def token_limit(self) -> int:
        """How many tokens to generate at most; a larger wish is met as far as this server goes."""
        wished = self.max_completion_tokens or self.max_tokens or 256
        return min(wished, MAX_COMPLETION_TOKENS)


@dataclass
class Piece:
    """A step of an answer: text, and at the end why it stopped, the token counts and what the agent adds."""

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@router.get("/models", summary="The models that this server offers")
def list_models(caller: Authenticated) -> dict[str, Any]:
    """OpenAI's model list."""
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "trivium"} for name in MODELS]}


@router.post("/chat/completions", summary="Chat, as OpenAI's clients speak it", response_model=None)
async def complete(request: Request, asked: CompletionRequest, caller: Authenticated) -> Any:
    """One completion, whole or as a stream of chunks."""
    kit, request_id = cast(Kit, request.app.state.kit), problems.request_id_of(request)
    if asked.model not in MODELS:
        raise NotFound(f"must be one of {', '.join(MODELS)}", field="model", value=asked.model)
    caller.require("support.chat" if asked.model == "trivium-support" else "core.generate")

    def start() -> Iterator[Piece]:
        if asked.model == "trivium-support":
            return _ask_agent(kit, asked, caller, request_id)
        return _ask_model(kit, asked)

    pieces = await open_stream(start)
    if asked.stream:
        return event_stream(_chunks(pieces, asked, request_id=request_id))
    return await _whole(pieces, asked)


def _ask_agent(kit: Kit, asked: CompletionRequest, caller: Caller, request_id: str) -> Iterator[Piece]:
    """The support agent's events as pieces; sources and ticket travel in the extension member."""
    for name in ("top_p", "stop"):
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
        elif event.type == "ticket":
            extra["ticket"] = event.ticket.model_dump(mode="json")
        else:
            extra |= {"answered": event.answered, "conversation_id": event.conversation_id}
            yield Piece(finish_reason=event.finish_reason, usage=event.usage.model_dump(), extra=extra)


def _ask_model(kit: Kit, asked: CompletionRequest) -> Iterator[Piece]:
    """The bare model's tokens as pieces."""
    roles = {"developer": "system"}
    messages = [(roles.get(item.role, item.role), item.text) for item in asked.messages]
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    options: dict[str, Any] = {"max_tokens": asked.token_limit}
    options |= {
        name: getattr(asked, name) for name in ("temperature", "top_p", "seed") if getattr(asked, name) is not None
    }
    try:
        for chunk in kit.resources.chat_model.stream(messages, stop=stop, **options):
            yield _piece(chunk)
    except ValueError as error:  # the engine's own rules: context length, sampling values
        raise InvalidInput(str(error)) from error


def _piece(chunk: AIMessageChunk) -> Piece:
    counts = chunk.usage_metadata
    usage = {"prompt_tokens": counts["input_tokens"], "completion_tokens": counts["output_tokens"]} if counts else {}
    reason = chunk.response_metadata.get("finish_reason")
    return Piece(text=str(chunk.content), finish_reason=reason, usage=usage)


async def _whole(pieces: AsyncIterator[Any], asked: CompletionRequest) -> dict[str, Any]:
    text, last = "", Piece(finish_reason="stop")
    usage: dict[str, int] = {}
    async for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        text += piece.text
        usage = piece.usage or usage
        last = piece if piece.finish_reason else last
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": last.finish_reason}
    return {
        **_envelope(asked, "chat.completion"),
        "choices": [{**choice, "logprobs": None}],
        "usage": _counted(usage),
        "trivium": last.extra,
    }


async def _chunks(pieces: AsyncIterator[Any], asked: CompletionRequest, *, request_id: str) -> AsyncIterator[str]:
    envelope = _envelope(asked, "chat.completion.chunk")
    usage: dict[str, int] = {}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None, **members: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return json.dumps({**envelope, "choices": [choice], **members})

    yield chunk({"role": "assistant", "content": ""})
    async for piece in pieces:
        if isinstance(piece, Exception):
            failure = problems.as_ours(piece, request_id=request_id)
            yield json.dumps({"error": {"message": str(failure), "type": "server_error", "code": request_id}})
            return
        usage = piece.usage or usage
        if piece.text:
            yield chunk({"content": piece.text})
        if piece.finish_reason:
            yield chunk({}, piece.finish_reason, **({"trivium": piece.extra} if piece.extra else {}))
    if asked.stream_options and asked.stream_options.include_usage:
        yield json.dumps({**envelope, "choices": [], "usage": _counted(usage)})


def _envelope(asked: CompletionRequest, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": asked.model}


def _counted(usage: dict[str, int]) -> dict[str, int]:
    counted = {"prompt_tokens": usage.get("prompt_tokens", 0), "completion_tokens": usage.get("completion_tokens", 0)}
    return {**counted, "total_tokens": sum(counted.values())}
