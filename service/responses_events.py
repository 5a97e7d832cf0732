"""An answer's pieces as the events of OpenAI's `/v1/responses`, and the response that they add up to. Ignores HTTP.

Text becomes a message item, each call a function_call item. Every event has a `sequence_number`, from 0.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from service.pieces import Piece
from service.responses_schemas import NamedFunction, ResponseRequest
from service.sse import Event

FAILED = "server_error"


def new_response(asked: ResponseRequest) -> dict[str, Any]:
    """A response that has just begun."""
    choice = asked.tool_choice or "auto"
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": asked.background,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "metadata": asked.metadata or {},
        "model": asked.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": asked.previous_response_id,
        "store": asked.store,
        "temperature": asked.temperature,
        "text": {"format": asked.text.format.model_dump(by_alias=True, exclude_unset=True) or {"type": "text"}},
        "tool_choice": choice.model_dump() if isinstance(choice, NamedFunction) else choice,
        "tools": [tool.model_dump() for tool in asked.tools],
        "top_p": asked.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": asked.user,
        "trivium": {},
    }


class ResponseWriter:
    """Builds `response` from pieces, and tells each step as an event."""

    def __init__(self, response: dict[str, Any]) -> None:
        self.response = response
        self._num_events = 0
        self._call_of: dict[int, dict[str, Any]] = {}  # the model's index of a call -> its item
        self._finish_reason = "stop"
        self._usage: dict[str, int] = {}

    def begin(self) -> Iterator[Event]:
        """The events before the first piece."""
        yield self._of_response("created")
        yield self._of_response("in_progress")

    def add(self, piece: Piece) -> Iterator[Event]:
        """The events of one piece."""
        if piece.text:
            yield from self._add_text(piece.text)
        for part in piece.tool_calls:
            yield from self._add_call(part)
        self._usage = piece.usage or self._usage
        self._finish_reason = piece.finish_reason or self._finish_reason
        self.response["trivium"] |= piece.extra

    def end(self) -> Iterator[Event]:
        """The events after the last piece; the response is whole before the last of them."""
        if not self.response["output"]:
            yield from self._add_text("")
        cut = self._finish_reason == "length"
        yield from self._close_last("incomplete" if cut else "completed")
        if cut:
            self.response["incomplete_details"] = {"reason": "max_output_tokens"}
        self.response["status"] = "incomplete" if cut else "completed"
        self.response["usage"] = _usage(self._usage)
        yield self._of_response(self.response["status"])

    def fail(self, message: str) -> Event:
        """The last event of an answer that broke off."""
        self.response |= {"status": "failed", "error": {"code": FAILED, "message": message}}
        return self._of_response("failed")

    def _add_text(self, text: str) -> Iterator[Event]:
        output = self.response["output"]
        if not output or output[-1]["type"] != "message":
            yield from self._open({"id": _new_id("msg"), "type": "message", "role": "assistant", "content": []})
            output[-1]["content"].append({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
            yield self._of_item("content_part.added", content_index=0, part=output[-1]["content"][0])
        output[-1]["content"][0]["text"] += text
        if text:
            yield self._of_item("output_text.delta", content_index=0, delta=text, logprobs=[])

    def _add_call(self, part: dict[str, Any]) -> Iterator[Event]:
        index, said = part["index"], part["function"]
        if index not in self._call_of:
            call_id = part.get("id") or _new_id("call")
            item = {"id": _new_id("fc"), "type": "function_call", "call_id": call_id, "name": "", "arguments": ""}
            self._call_of[index] = item
            item["name"] = said.get("name", "")
            yield from self._open(item)
        self._call_of[index]["arguments"] += said.get("arguments", "")
        if said.get("arguments"):
            yield self._of_item("function_call_arguments.delta", delta=said["arguments"])

    def _open(self, item: dict[str, Any]) -> Iterator[Event]:
        """A new last item; the one before it is done."""
        yield from self._close_last("completed")
        item["status"] = "in_progress"
        self.response["output"].append(item)
        yield self._event("output_item.added", output_index=len(self.response["output"]) - 1, item=item)

    def _close_last(self, status: str) -> Iterator[Event]:
        output = self.response["output"]
        if not output or output[-1]["status"] != "in_progress":
            return
        item = output[-1]
        item["status"] = status
        if item["type"] == "message":
            (part,) = item["content"]
            yield self._of_item("output_text.done", content_index=0, text=part["text"], logprobs=[])
            yield self._of_item("content_part.done", content_index=0, part=part)
        else:
            yield self._of_item("function_call_arguments.done", name=item["name"], arguments=item["arguments"])
        yield self._event("output_item.done", output_index=len(output) - 1, item=item)

    def _of_item(self, kind: str, **members: Any) -> Event:
        output = self.response["output"]
        return self._event(kind, item_id=output[-1]["id"], output_index=len(output) - 1, **members)

    def _of_response(self, kind: str) -> Event:
        return self._event(kind, response=self.response)

    def _event(self, kind: str, **members: Any) -> Event:
        event = {"type": f"response.{kind}", "sequence_number": self._num_events, **members}
        self._num_events += 1
        return Event(json.dumps(event), event["type"])


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"


def _usage(counted: dict[str, int]) -> dict[str, Any]:
    read, written = counted.get("prompt_tokens", 0), counted.get("completion_tokens", 0)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
