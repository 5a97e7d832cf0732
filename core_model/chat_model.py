"""A LangChain chat model over any TextEngine: streams, calls tools, fills schemas. Ignores how tokens are made."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool

from core_model.chat_options import to_params
from core_model.generation import RequestOptions, SamplingParams, TextEngine, TokenChunk
from core_model.tool_calling import AnswerReader, close_objects, explain_tools, render_call, render_result, tool_grammar

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "user"}
_DEFAULTS = ("max_tokens", "temperature", "top_p", "top_k", "seed")


class ChatTokenizer(Protocol):
    """The part of a tokenizer that a chat needs."""

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
    ) -> list[int]: ...

    def decode(self, token_ids: Sequence[int]) -> str: ...


class EngineChatModel(BaseChatModel):
    """Messages in, one message out; streams.

    The fields are defaults; each call may override them, and take the other options of `core_model.chat_options`, which
    are OpenAI's words:

        chat.invoke(messages, stop=["\\n\\n"], temperature=0.7, max_tokens=64, seed=1)
        chat.bind(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
        chat.bind_tools([get_weather], tool_choice="any")
        chat.with_structured_output(Invoice)
        chat.bind(adapter="polite")  # one that the local engine has loaded
        chat.bind(user="shop-1")  # fair turns among users, and no cached prompt of another's

    An answer, or the last chunk of a stream, carries `usage_metadata`, and `response_metadata` with `finish_reason`
    ("tool_calls" for a call) and `model_name`; `logprobs=True` adds `logprobs` in OpenAI's form.
    """

    engine: Any  # TextEngine; pydantic cannot check a Protocol
    tokenizer: Any = None  # ChatTokenizer; None for a `core_model.served_model.ServedModel`, which has its own
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
        return {"model_name": engine.model_version, **{name: getattr(self, name) for name in _DEFAULTS}}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | Any],
        *,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call one of `tools`: functions, pydantic classes, LangChain tools or OpenAI's dicts.

        Args:
            tools: Their arguments are constrained to their schemas.
            tool_choice: "auto" (the default), "any" or "required" or True, "none", or a tool's name.
        """
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers as objects of `schema`, written under its grammar.

        Args:
            schema: A pydantic class, whose objects come back; or a JSON schema or TypedDict, and dicts do. Only a JSON
                schema may leave its objects open for more properties.
            include_raw: Give {"raw", "parsed", "parsing_error"} and do not raise.
            kwargs: `method`: only "json_schema", the default. Others are options of the call.

        Raises:
            ValueError: another method; and when called, an answer that `max_tokens` cut.
        """
        if (method := kwargs.pop("method", "json_schema")) != "json_schema":
            raise ValueError(f"method: only json_schema is implemented (got {method!r}). Leave it out.")
        validate = getattr(schema, "model_validate", None)
        if isinstance(schema, dict):
            json_schema = schema
        else:
            json_schema = close_objects(schema.model_json_schema() if validate else convert_to_json_schema(schema))  # type: ignore[attr-defined]

        def parse(message: AIMessage) -> Any:
            if message.response_metadata.get("finish_reason") == "length":
                raise ValueError("max_tokens: the answer was cut before it was complete. Raise max_tokens.")
            value = json.loads(str(message.text))
            return validate(value) if validate else value

        response_format = {"type": "json_schema", "json_schema": {"name": "answer", "schema": json_schema}}
        model = self.bind(response_format=response_format, **kwargs)
        parser: Runnable[Any, Any] = RunnableLambda(parse)
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")

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
        is_cut = (
            said.response_metadata["finish_reason"] != "tool_calls"
        )  # LangChain would complete the JSON of a cut call
        broken = [
            invalid_tool_call(name=call["name"], args=call["args"], id=call["id"], error="the answer was cut")
            for call in said.tool_call_chunks
        ]
        message = AIMessage(
            content=said.content,
            tool_calls=[] if is_cut else said.tool_calls,
            invalid_tool_calls=broken if is_cut else [],
            usage_metadata=said.usage_metadata,
            response_metadata=said.response_metadata,
        )
        return ChatResult(generations=[ChatGeneration(message=message, generation_info=chunk.generation_info)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        adapter, user = kwargs.pop("adapter", None), kwargs.pop("user", None) or ""
        tools, choice = kwargs.pop("tools", None) or [], _choice(kwargs.pop("tool_choice", None))
        params = to_params({**{name: getattr(self, name) for name in _DEFAULTS}, **kwargs}, stop=stop or ())
        turns = [_to_template(message) for message in messages]
        reader = None
        if tools and choice != "none":
            if params.grammar:
                raise ValueError("response_format: tools have their own grammar. Leave one of them out.")
            params, reader = replace(params, grammar=tool_grammar(tools, choice)), AnswerReader()
            turns = _with_system(turns, explain_tools(tools))
        options = RequestOptions(adapter=adapter, tenant=user, cache_salt=user) if adapter or user else None
        for chunk in self._chunks(self._begin(turns, params, options), reader):
            if run_manager:
                run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
            yield chunk

    def _begin(self, turns: list[dict[str, str]], params: SamplingParams, options: RequestOptions | None) -> _Begun:
        """Encode and queue, by one model: a served one may be swapped at any moment."""

        def begin(model: tuple[TextEngine, ChatTokenizer]) -> _Begun:
            engine, tokenizer = model
            prompt_ids = tokenizer.apply_chat_template(turns)
            # Only the local engine has options.
            tokens = engine.stream(prompt_ids, params, **({"options": options} if options else {}))
            return _Begun(tokens, len(prompt_ids), engine.model_version, tokenizer)

        if self.tokenizer is None:
            begun: _Begun = self.engine.call(begin)
            return begun
        return begin((self.engine, self.tokenizer))

    def _chunks(self, begun: _Begun, reader: AnswerReader | None) -> Iterator[ChatGenerationChunk]:
        tokens = begun.tokens
        num_generated, call_id = 0, f"call_{uuid.uuid4().hex}"
        try:
            for token in tokens:
                num_generated += len(token.token_ids)
                message = _message(token, reader, call_id)
                if token.logprobs:
                    message.response_metadata["logprobs"] = {"content": _logprobs(token, begun.tokenizer)}
                if token.finish_reason is not None:
                    yield _last(message, token, reader, begun=begun, num_generated=num_generated)
                elif message.content or message.tool_call_chunks or message.response_metadata:
                    yield ChatGenerationChunk(message=message)
        finally:  # the reader went away: do not go on generating
            if hasattr(tokens, "close"):
                tokens.close()


class _Begun(NamedTuple):
    """An answer on its way, and which model gives it."""

    tokens: Iterator[TokenChunk]
    num_prompt: int
    model_version: str
    tokenizer: ChatTokenizer


def _last(
    message: AIMessageChunk, token: TokenChunk, reader: AnswerReader | None, *, begun: _Begun, num_generated: int
) -> ChatGenerationChunk:
    reason: str | None = token.finish_reason
    if reason == "stop" and reader and reader.has_call:
        reason = "tool_calls"
    message.response_metadata |= {"finish_reason": reason, "model_name": begun.model_version}
    message.usage_metadata = UsageMetadata(
        input_tokens=begun.num_prompt, output_tokens=num_generated, total_tokens=begun.num_prompt + num_generated
    )
    message.chunk_position = "last"
    return ChatGenerationChunk(message=message, generation_info={"finish_reason": reason})


def _logprobs(token: TokenChunk, tokenizer: ChatTokenizer) -> list[dict[str, Any]]:
    def entry(token_id: int, logprob: float) -> dict[str, Any]:
        text = tokenizer.decode([token_id])
        is_whole = "\ufffd" not in text  # part of a character has no text of its own
        return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if is_whole else None}

    return [
        {**entry(said.token_id, said.logprob), "top_logprobs": [entry(*likely) for likely in said.top]}
        for said in token.logprobs
    ]


def _message(token: TokenChunk, reader: AnswerReader | None, call_id: str) -> AIMessageChunk:
    if reader is None:
        return AIMessageChunk(content=token.text)
    said = reader.push(token.text, is_last=token.finish_reason is not None)
    if said.name is None and not said.arguments:
        return AIMessageChunk(content=said.text)
    call = tool_call_chunk(name=said.name, args=said.arguments, id=call_id if said.name else None, index=0)
    return AIMessageChunk(content="", tool_call_chunks=[call])


def _choice(choice: str | bool | Mapping[str, Any] | None) -> str:
    """LangChain's and OpenAI's ways to choose a tool, as `tool_grammar` knows them."""
    if isinstance(choice, Mapping):
        return str(choice.get("function", {}).get("name"))
    if choice is None or choice is False:
        return "auto"
    return "any" if choice is True or choice == "required" else choice


def _to_template(message: BaseMessage) -> dict[str, str]:
    if message.type not in _ROLES:
        raise ValueError(f"messages: role {message.type!r} is not supported. Use system, human, ai or tool messages.")
    text = str(message.text)
    if message.type == "tool":
        text = render_result(text)
    elif isinstance(message, AIMessage) and message.tool_calls:
        text += "\n".join(render_call(call["name"], call["args"]) for call in message.tool_calls)
    return {"role": _ROLES[message.type], "content": text}


def _with_system(turns: list[dict[str, str]], text: str) -> list[dict[str, str]]:
    """`text` after the first system message, or as one."""
    if turns and turns[0]["role"] == "system":
        return [{"role": "system", "content": f"{turns[0]['content']}\n\n{text}"}, *turns[1:]]
    return [{"role": "system", "content": text}, *turns]
