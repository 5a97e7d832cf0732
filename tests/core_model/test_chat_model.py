"""The LangChain face of an engine: options, streaming, usage, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, Field

from core_model.chat_model import EngineChatModel
from core_model.generation import FinishReason, SamplingParams, TokenChunk, TokenLogprob
from core_model.tokenizer import Tokenizer
from tests.core_model.tiny import make_engine

TOOLS = [{"type": "function", "function": {"name": "ask", "parameters": {"type": "object", "properties": {}}}}]


class FakeEngine:
    """Answers "Hello!" and notes what it was asked."""

    model_version = "fake-1"

    def __init__(self, *texts: str, finish_reason: FinishReason = "stop") -> None:
        self.asked: list[tuple[list[int], SamplingParams]] = []
        self.closed = 0
        self.texts, self.finish_reason = texts or ("Hel", "", "lo!"), finish_reason

    def stream(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[TokenChunk]:
        self.asked.append((list(prompt_ids), params))
        try:
            for i, text in enumerate(self.texts, start=1):
                logprobs = (TokenLogprob(65 + i, -0.5, ((65 + i, -0.5),)),) if params.logprobs is not None else ()
                yield TokenChunk((i,), text, self.finish_reason if i == len(self.texts) else None, logprobs)
        finally:
            self.closed += 1


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def chat(engine: FakeEngine, tokenizer: Tokenizer) -> EngineChatModel:
    return EngineChatModel(engine=engine, tokenizer=tokenizer, max_tokens=50)


def test_an_answer_carries_text_usage_and_reason(
    chat: EngineChatModel, engine: FakeEngine, tokenizer: Tokenizer
) -> None:
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("Hi"), AIMessage("Yes?"), HumanMessage("Go")])

    prompt, params = engine.asked[0]
    roles = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Go")]
    assert prompt == tokenizer.apply_chat_template([{"role": r, "content": c} for r, c in roles])
    assert params == SamplingParams(max_tokens=50)
    assert answer.content == "Hello!"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.response_metadata["model_name"] == "fake-1"
    assert answer.usage_metadata == {
        "input_tokens": len(prompt),
        "output_tokens": 3,
        "total_tokens": len(prompt) + 3,
    }


def test_a_stream_comes_in_pieces_with_usage_once(chat: EngineChatModel) -> None:
    chunks = list(chat.stream("Hi"))

    assert [chunk.content for chunk in chunks] == ["Hel", "lo!"]
    assert [bool(chunk.usage_metadata) for chunk in chunks] == [False, True]
    assert chunks[-1].response_metadata["finish_reason"] == "stop"


def test_options_of_a_call_win_over_the_defaults(chat: EngineChatModel, engine: FakeEngine) -> None:
    chat.invoke("Hi", stop=["\n"], temperature=0.5, max_tokens=7, seed=3, top_p=0.9, top_k=4)

    assert engine.asked[0][1] == SamplingParams(7, temperature=0.5, seed=3, top_p=0.9, top_k=4, stop=("\n",))


def test_leaving_a_stream_closes_the_engines(chat: EngineChatModel, engine: FakeEngine) -> None:
    stream = chat.stream("Hi")
    next(stream)

    stream.close()  # type: ignore[attr-defined]

    assert engine.closed == 1


@pytest.mark.parametrize(
    ("messages", "options", "message"),
    [
        ("Hi", {"temprature": 1}, "temprature: unknown option. Use max_tokens"),
        ([ChatMessage("x", role="judge")], {}, "role 'chat' is not supported"),
        (
            "Hi",
            {"tools": TOOLS, "tool_choice": "fly"},
            r"tool_choice: must be one of auto, any, none, ask \(got 'fly'\)",
        ),
        ("Hi", {"tools": TOOLS, "response_format": {"type": "json_object"}}, "response_format: tools have their own"),
    ],
)
def test_what_it_cannot_do_is_refused(
    chat: EngineChatModel, messages: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        chat.invoke(messages, **options)


def test_logprobs_come_in_openais_form(chat: EngineChatModel, tokenizer: Tokenizer) -> None:
    answer = chat.invoke("Hi", logprobs=True, top_logprobs=1)

    content = answer.response_metadata["logprobs"]["content"]
    first = {"token": tokenizer.decode([66]), "logprob": -0.5, "bytes": list(tokenizer.decode([66]).encode())}
    assert content[0] == {**first, "top_logprobs": [first]}
    assert len(content) == 3


async def collect(chat: EngineChatModel) -> list[str]:
    return [str(chunk.content) async for chunk in chat.astream("Hi")]


def test_it_works_without_blocking_too(chat: EngineChatModel) -> None:
    assert asyncio.run(chat.ainvoke("Hi")).content == "Hello!"
    assert [text for text in asyncio.run(collect(chat)) if text] == ["Hel", "lo!"]


# --- tools and structured output ---


class Weather(BaseModel):
    """Weather of a city."""

    city: Literal["Bern", "Rome"]
    days: int = Field(ge=1, le=9)


CALL = ('<tool_call>\n{"na', 'me":"Weather","argu', 'ments":{"city":"Be', 'rn","days":3}', "}\n</tool_", "call>")


def test_a_call_is_read_from_the_answer_and_streamed_in_pieces(tokenizer: Tokenizer) -> None:
    engine = FakeEngine(*CALL)
    chat = EngineChatModel(engine=engine, tokenizer=tokenizer).bind_tools([Weather])

    chunks = list(chat.stream("Weather in Bern?"))

    whole = reduce(add, chunks)
    assert isinstance(whole, AIMessageChunk)
    assert whole.tool_calls[0]["name"] == "Weather"
    assert whole.tool_calls[0]["args"] == {"city": "Bern", "days": 3}
    assert whole.tool_calls[0]["id"].startswith("call_")  # type: ignore[union-attr]
    assert whole.content == ""
    assert whole.response_metadata["finish_reason"] == "tool_calls"
    assert sum(bool(chunk.tool_call_chunks) for chunk in chunks) > 1  # type: ignore[union-attr]
    assert chat.invoke("Weather in Bern?").tool_calls[0]["args"] == {"city": "Bern", "days": 3}
    assert '"name": "Weather"' in tokenizer.decode(engine.asked[0][0])


def test_a_cut_call_is_an_invalid_one(tokenizer: Tokenizer) -> None:
    chat = EngineChatModel(engine=FakeEngine(*CALL[:3], finish_reason="length"), tokenizer=tokenizer)

    answer = chat.bind_tools([Weather]).invoke("Weather in Bern?")

    assert answer.tool_calls == []
    assert answer.invalid_tool_calls[0]["name"] == "Weather"
    assert answer.response_metadata["finish_reason"] == "length"


def test_text_stays_text_where_a_call_is_not_demanded(tokenizer: Tokenizer) -> None:
    chat = EngineChatModel(engine=FakeEngine("I am", " < you"), tokenizer=tokenizer).bind_tools([Weather])

    answer = chat.invoke("Hi")

    assert (answer.content, answer.tool_calls) == ("I am < you", [])


def test_tools_are_no_matter_if_none_may_be_called(chat: EngineChatModel, engine: FakeEngine) -> None:
    chat.bind_tools([Weather], tool_choice="none").invoke("Hi")
    chat.invoke("Hi")

    assert engine.asked[0] == engine.asked[1]


def test_past_calls_and_results_are_told_to_the_model(
    chat: EngineChatModel, engine: FakeEngine, tokenizer: Tokenizer
) -> None:
    call = {"name": "Weather", "args": {"city": "Bern"}, "id": "1", "type": "tool_call"}
    chat.invoke([HumanMessage("?"), AIMessage("", tool_calls=[call]), ToolMessage("sunny", tool_call_id="1")])

    prompt = tokenizer.decode(engine.asked[0][0])

    assert '<tool_call>\n{"name":"Weather","arguments":{"city":"Bern"}}\n</tool_call>' in prompt
    assert "user\n<tool_response>\nsunny\n</tool_response>" in prompt


@pytest.fixture
def babbler(tokenizer: Tokenizer) -> Iterator[EngineChatModel]:
    """A real engine over random weights: only the grammar makes its answers fit."""
    with make_engine() as engine:
        yield EngineChatModel(engine=engine, tokenizer=tokenizer, temperature=1.0, seed=1)


@pytest.mark.parametrize("choice", ["any", "required", True, "Weather"])
def test_a_demanded_call_always_comes_and_is_valid(babbler: EngineChatModel, choice: Any) -> None:
    answer = babbler.bind_tools([Weather, TOOLS[0]], tool_choice=choice).invoke("Hi")

    call = answer.tool_calls[0]
    assert call["name"] in ("Weather", "ask")
    if choice == "Weather":
        Weather.model_validate(call["args"])


def test_structured_output_is_an_object_of_its_class(babbler: EngineChatModel) -> None:
    assert isinstance(babbler.with_structured_output(Weather).invoke("Hi"), Weather)
    assert set(babbler.with_structured_output(Weather.model_json_schema()).invoke("Hi")) == {"city", "days"}


def test_a_cut_object_is_an_error_or_told(babbler: EngineChatModel) -> None:
    with pytest.raises(ValueError, match="max_tokens: the answer was cut"):
        babbler.with_structured_output(Weather, max_tokens=5).invoke("Hi")
    told = babbler.with_structured_output(Weather, max_tokens=5, include_raw=True).invoke("Hi")
    assert told["parsed"] is None
    assert "cut" in str(told["parsing_error"])
