"""A LangChain chat model over any TextEngine. Ignores tools: use `bind(json_schema=...)`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from core_model.generation import SamplingParams, TextEngine, TokenChunk

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}
_OPTIONS = ("max_tokens", "temperature", "top_p", "top_k", "seed")


class ChatTokenizer(Protocol):
    """The part of a tokenizer that a chat needs."""

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
    ) -> list[int]: ...


class EngineChatModel(BaseChatModel):
    """Messages in, one message out; streams.

    The fields are defaults; each call may override them, and take `json_schema` (text or dict) besides:

        chat.invoke(messages, stop=["\\n\\n"], temperature=0.7, max_tokens=64, seed=1)
        chat.bind(json_schema=schema).invoke(messages)

    An answer, or the last chunk of a stream, carries `usage_metadata`, and `response_metadata` with `finish_reason` and
    `model_name`.
    """

    engine: Any  # TextEngine; pydantic cannot check a Protocol
    tokenizer: Any  # ChatTokenizer
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None

    @property
    def _llm_type(self) -> str:
        return "trivium-engine"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        engine: TextEngine = self.engine
        return {"model_name": engine.model_version, **{name: getattr(self, name) for name in _OPTIONS}}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        chunk = None
        for part in self._stream(messages, stop, None, **kwargs):
            chunk = part if chunk is None else chunk + part
        assert chunk is not None, "a stream ends with a finish reason"
        said = chunk.message
        assert isinstance(said, AIMessageChunk)
        message = AIMessage(
            content=said.content, usage_metadata=said.usage_metadata, response_metadata=said.response_metadata
        )
        return ChatResult(generations=[ChatGeneration(message=message, generation_info=chunk.generation_info)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        tokenizer: ChatTokenizer = self.tokenizer
        prompt_ids = tokenizer.apply_chat_template([_to_template(message) for message in messages])
        tokens = self.engine.stream(prompt_ids, self._params(stop, kwargs))
        num_generated = 0
        try:
            for token in tokens:
                num_generated += len(token.token_ids)
                if token.text or token.finish_reason:
                    chunk = self._chunk(token, len(prompt_ids), num_generated)
                    if run_manager:
                        run_manager.on_llm_new_token(token.text, chunk=chunk)
                    yield chunk
        finally:  # the reader went away: do not go on generating
            if hasattr(tokens, "close"):
                tokens.close()

    def _params(self, stop: list[str] | None, kwargs: dict[str, Any]) -> SamplingParams:
        options = {name: kwargs.pop(name, getattr(self, name)) for name in _OPTIONS}
        schema = kwargs.pop("json_schema", None)
        ignored = {"ls_structured_output_format"}  # LangChain's own tracing detail
        if unknown := sorted(set(kwargs) - ignored):
            known = ", ".join((*_OPTIONS, "json_schema", "stop"))
            raise ValueError(f"{unknown[0]}: unknown option. Use {known}.")
        if isinstance(schema, Mapping):
            schema = json.dumps(schema)
        return SamplingParams(stop=tuple(stop or ()), json_schema=schema, **options)

    def _chunk(self, token: TokenChunk, num_prompt: int, num_generated: int) -> ChatGenerationChunk:
        if token.finish_reason is None:
            return ChatGenerationChunk(message=AIMessageChunk(content=token.text))
        engine: TextEngine = self.engine
        about = {"finish_reason": token.finish_reason, "model_name": engine.model_version}
        usage = UsageMetadata(
            input_tokens=num_prompt, output_tokens=num_generated, total_tokens=num_prompt + num_generated
        )
        message = AIMessageChunk(
            content=token.text, response_metadata=about, usage_metadata=usage, chunk_position="last"
        )
        return ChatGenerationChunk(message=message, generation_info={"finish_reason": token.finish_reason})


def _to_template(message: BaseMessage) -> dict[str, str]:
    if message.type not in _ROLES:
        raise ValueError(f"messages: role {message.type!r} is not supported. Use system, human or ai messages.")
    return {"role": _ROLES[message.type], "content": str(message.text)}
