"""The LangChain face of an engine: options, streaming, usage, refusals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from core_model.chat_model import EngineChatModel
from core_model.generation import SamplingParams, TokenChunk
from core_model.tokenizer import Tokenizer


class FakeEngine:
    """Answers "Hello!" and notes what it was asked."""

    model_version = "fake-1"

    def __init__(self) -> None:
        self.asked: list[tuple[list[int], SamplingParams]] = []
        self.closed = 0

    def stream(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[TokenChunk]:
        self.asked.append((list(prompt_ids), params))
        try:
            yield TokenChunk((1,), "Hel")
            yield TokenChunk((2,), "")
            yield TokenChunk((3,), "lo!", "stop")
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
    chat.bind(json_schema={"type": "object"}).invoke(
        "Hi", stop=["\n"], temperature=0.5, max_tokens=7, seed=3, top_p=0.9, top_k=4
    )

    assert engine.asked[0][1] == SamplingParams(7, 0.5, 4, 0.9, ("\n",), 3, '{"type": "object"}')


def test_leaving_a_stream_closes_the_engines(chat: EngineChatModel, engine: FakeEngine) -> None:
    stream = chat.stream("Hi")
    next(stream)

    stream.close()  # type: ignore[attr-defined]

    assert engine.closed == 1


@pytest.mark.parametrize(
    ("messages", "options", "message"),
    [
        ("Hi", {"temprature": 1}, "temprature: unknown option. Use max_tokens"),
        ([ToolMessage("x", tool_call_id="1")], {}, "role 'tool' is not supported"),
    ],
)
def test_what_it_cannot_do_is_refused(
    chat: EngineChatModel, messages: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        chat.invoke(messages, **options)
