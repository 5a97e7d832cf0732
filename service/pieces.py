"""An answer as a run of pieces, from the support agent or from the bare model. Ignores how a client is told.

Two models are served: `trivium-support`, the support agent, which adds its sources; and `trivium-core`, the bare
language model, with an adapter as `trivium-core:NAME`. An option that we do not honour is refused, not dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessageChunk

from service import problems
from service.asking import Asking, each_asked_for
from service.auth import Caller
from service.kit import Kit
from service.openai_schemas import EXTENSIONS, OPENAI_SAMPLING, CompletionRequest
from service.recorded import Recording, fingerprint
from verticals.contract import Decision, InvalidInput, NotFound
from verticals.support.schemas import ChatRequest, Message

SUPPORT, CORE = "trivium-support", "trivium-core"


@dataclass
class Piece:
    """A step of an answer: text or part of a call, and at the end why it stopped, token counts, what the agent adds."""

    text: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)  # with "index", as OpenAI streams them
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


def model_names(kit: Kit) -> tuple[str, ...]:
    """All that can be asked for; a remote engine has no adapters."""
    adapters: tuple[str, ...] = getattr(kit.resources.engine, "adapters", ())
    return (SUPPORT, CORE, *(f"{CORE}:{name}" for name in adapters))


def check_model(kit: Kit, model: str, caller: Caller) -> None:
    """Refuse a model that is not there, or not for this caller. Customers' keys open the support agent alone.

    Raises:
        NotFound: no model has this name.
        PermissionDenied: the key does not cover it.
    """
    if model not in (names := model_names(kit)):
        raise NotFound(f"must be one of {', '.join(names)}", field="model", value=model)
    if model != SUPPORT:
        caller.require("core.generate")
    elif caller.customer is None:
        caller.require("support.chat")


def answer_pieces(
    kit: Kit,
    asked: CompletionRequest,
    *,
    caller: Caller,
    request_id: str,
    answered_by: dict[str, str],
    conversation_id: str | None = None,
) -> Iterator[Piece]:
    """The answer's pieces; closing the iterator stops the model. `answered_by` as in `Kit.invoke`.

    Raises:
        InvalidInput: a value breaks a rule of agent or engine.
    """
    asking = Asking(_subject(asked, caller, conversation_id), request_id, answered_by)
    if asked.model == SUPPORT:
        who: dict[str, Any] = {"caller": caller, "request_id": request_id, "answered_by": answered_by}
        return each_asked_for(asking, _ask_agent(kit, asked, conversation_id, **who))
    return each_asked_for(asking, _ask_model(kit, asked, caller, asking))


def _ask_agent(kit: Kit, asked: CompletionRequest, conversation_id: str | None, **who: Any) -> Iterator[Piece]:
    """The support agent's events as pieces; sources and ticket travel in `extra`."""
    for name in ("stop", *OPENAI_SAMPLING, *EXTENSIONS):
        if getattr(asked, name) is not None:
            raise InvalidInput("is not honoured by the support agent", field=name, remedy="Leave it out.")
    roles = {"developer": "system"}
    messages = [
        Message.model_validate({"role": roles.get(item.role, item.role), "content": item.text})
        for item in asked.messages
    ]
    chat = ChatRequest(
        messages=messages,
        max_tokens=asked.token_limit,
        temperature=asked.temperature or 0.0,
        seed=asked.seed,
        conversation_id=conversation_id,
    )
    events = cast(Iterator[Any], kit.invoke("support", "chat", chat, **who))
    extra: dict[str, Any] = {}
    for event in (wrapped.root for wrapped in events):
        if event.type == "delta":
            yield Piece(text=event.text)
        elif event.type == "done":
            extra |= event.model_dump(mode="json", exclude={"type", "finish_reason", "usage"})
            yield Piece(finish_reason=event.finish_reason, usage=event.usage.model_dump(), extra=extra)
        elif event.type == "citation":
            extra.setdefault("citations", []).append(event.model_dump(mode="json", exclude={"type"}))
        elif event.type != "understanding":  # its content has its name: sources, ticket
            extra |= event.model_dump(mode="json", exclude={"type"})


def _subject(asked: CompletionRequest, caller: Caller, conversation_id: str | None) -> str:
    """Whose conversation it is: the caller says so, or it is the one that began with these words."""
    named = asked.user or conversation_id
    if named is None:
        first = next((i for i, message in enumerate(asked.messages) if message.role == "user"), 0)
        began = [(message.role, message.text) for message in asked.messages[: first + 1]]
        named = hashlib.sha256(repr(began).encode()).hexdigest()
    return f"{caller.tenant}\0{named}"


def _ask_model(kit: Kit, asked: CompletionRequest, caller: Caller, asking: Asking) -> Iterator[Piece]:
    """The bare model's tokens as pieces; that it answered is recorded, also when the listener leaves."""
    recording = Recording(kit.audit, caller.who(asking.request_id), asking.answered_by)
    said, finish, version = hashlib.sha256(), "", kit.resources.model_version
    messages = [message.as_openai() for message in asked.messages]
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    adapter = asked.model.partition(":")[2]
    options = asked.sampling() | ({"adapter": adapter} if adapter else {})
    if kit.models is not None:  # tenants share no cached beginning; a remote server is not told who they are
        options["user"] = caller.tenant
    try:
        for chunk in kit.resources.chat_model.stream(messages, stop=stop, **options):
            piece = _piece(chunk)
            said.update(piece.text.encode())
            finish = piece.finish_reason or finish or "cancelled"
            version = piece.extra.get("model_version", version)
            yield piece
    except ValueError as error:  # the engine's own rules: context length, sampling values, grammars
        raise _invalid(error) from error
    finally:
        if finish:  # else nothing was answered
            outcome = {"finish_reason": finish, "answer_sha256": said.hexdigest()}
            recording(Decision("core.answer", asked.model, fingerprint(asked), outcome, version))


def _invalid(error: ValueError) -> InvalidInput:
    """The engine's "field: rule", with the field as chat completions call it."""
    name, rule = problems.named_rule(error)
    name = {"prompt_ids": "messages", "grammar": "response_format"}.get(name, name)
    if name not in CompletionRequest.model_fields:
        return InvalidInput(str(error))
    return InvalidInput(rule, field=name)


def _piece(chunk: AIMessageChunk) -> Piece:
    counts = chunk.usage_metadata
    version = chunk.response_metadata.get("model_name")  # with the last chunk
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
        extra={"model_version": version} if version else {},
    )
