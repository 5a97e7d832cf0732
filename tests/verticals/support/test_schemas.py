"""Bad requests are refused at the border, with the field's name."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from verticals.support import VERTICAL
from verticals.support.schemas import MAX_MESSAGE_CHARS, ChatEvent, ChatRequest, DeltaEvent, IngestRequest


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"messages": []}, "at least 1 item"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "'system', 'user' or 'assistant'"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_000}]}, f"at most {MAX_MESSAGE_CHARS} characters"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "NUL"),
        ({"messages": [{"role": "user", "content": "x"}], "tenant": "other"}, "Extra inputs"),
        ({"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}, "greater than or equal to 1"),
        ({"messages": [{"role": "user", "content": "x"}], "temperature": 9}, "less than or equal to 2"),
        ({"messages": [{"role": "user", "content": "x"}], "conversation_id": "../../x y"}, "pattern"),
    ],
)
def test_a_bad_chat_request_is_refused(body: dict[str, object], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        ChatRequest.model_validate(body)


@pytest.mark.parametrize(
    "raw",
    [b'{"messages":[{"role":"user","content":"\xff\xfe"}]}', b'{"messages":[{"role":"user","content":"\\ud800"}]}'],
)
def test_broken_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(ValidationError, match=r"(?i)invalid (unicode|JSON|type)|unicode|surrogate"):
        ChatRequest.model_validate_json(raw)


def test_a_document_id_cannot_be_a_path() -> None:
    with pytest.raises(ValidationError, match="pattern"):
        IngestRequest.model_validate({"documents": [{"doc_id": "../x", "title": "t", "text": "t"}]})


def test_an_event_survives_the_wire() -> None:
    event = ChatEvent(DeltaEvent(text="Yes [1]"))

    assert json.loads(event.model_dump_json()) == {"type": "delta", "text": "Yes [1]"}
    assert ChatEvent.model_validate_json(event.model_dump_json()) == event


def test_every_example_of_every_operation_is_a_valid_request() -> None:
    examples = [(op, body) for op in VERTICAL.operations for body in op.examples.values()]

    assert examples
    for operation, body in examples:
        operation.request.model_validate(body)
