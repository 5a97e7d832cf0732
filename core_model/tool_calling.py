"""Tool calls as text: told in the prompt, written under a grammar, read back as they come. Ignores who runs the tools.

The form is that of Hermes, which Qwen's and many other models are trained on; one call an answer:

    <tool_call>
    {"name":"get_weather","arguments":{"city":"Bern"}}
    </tool_call>
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core_model.generation import Grammar

Tool = Mapping[str, Any]  # {"type": "function", "function": {"name", "description", "parameters"}}, as in OpenAI's API

_HEAD, _MIDDLE, _TAIL = '<tool_call>\n{"name":"', '","arguments":', "}\n</tool_call>"
_CALL = re.compile(re.escape(_HEAD) + r"([\w-]+)" + re.escape(_MIDDLE))
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TEXT = r"/\s*[^<\s](.|\n)*/"  # whatever does not begin as a call does
_EXPLANATION = (
    "You may call one function to answer. The functions, as JSON schemas:\n<tools>\n{tools}\n</tools>\n"
    "To call one, answer with nothing but its name and arguments:\n"
    '<tool_call>\n{{"name":"...","arguments":{{...}}}}\n</tool_call>'
)


def explain_tools(tools: Sequence[Tool]) -> str:
    """What a model must be told to call `tools`; for the system message."""
    return _EXPLANATION.format(tools="\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools))


def render_call(name: str, arguments: Mapping[str, Any]) -> str:
    """A call of the past, as the model wrote it."""
    return _HEAD + name + _MIDDLE + json.dumps(arguments, ensure_ascii=False, separators=(",", ":")) + _TAIL


def render_result(text: str) -> str:
    """What a tool said, for a user message."""
    return f"<tool_response>\n{text}\n</tool_response>"


def tool_grammar(tools: Sequence[Tool], choice: str) -> Grammar:
    """A grammar that allows calls with valid arguments only.

    Args:
        tools: What can be called.
        choice: "auto" allows free text instead; "any" demands a call; a name demands a call of that tool.

    Raises:
        ValueError: no tools, a bad name, or a choice that is none of them.
    """
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    for name in functions:
        if not _NAME.fullmatch(name):
            raise ValueError(f"tools: names are 1 to 64 letters, digits, _ or - (got {name!r}). Rename it.")
    if not functions or choice not in ("auto", "any", *functions):
        known = ", ".join(("auto", "any", "none", *functions))
        raise ValueError(f"tool_choice: must be one of {known} (got {choice!r}). Bind the tool, or choose another.")
    chosen = [function for name, function in functions.items() if choice in ("auto", "any", name)]
    rules = []
    for i, function in enumerate(chosen):
        nothing = {"type": "object", "properties": {}, "additionalProperties": False}
        schema = {**close_objects(function.get("parameters") or nothing), "x-guidance": {"whitespace_flexible": False}}
        head, tail = json.dumps(f"{_HEAD}{function['name']}{_MIDDLE}"), json.dumps(_TAIL)
        rules += [f"call_{i}: {head} arguments_{i} {tail}", f"arguments_{i}: %json {json.dumps(schema)}"]
    starts = [f"call_{i}" for i in range(len(chosen))] + (["TEXT"] if choice == "auto" else [])
    rules += [f"TEXT: {_TEXT}"] if choice == "auto" else []
    return Grammar("lark", "\n".join((f"start: {' | '.join(starts)}", *rules)))


def close_objects(schema: Any) -> Any:
    """A JSON schema whose objects hold only the properties that it names, unless it says so itself.

    A schema allows more by default, and a model that may, adds what nobody reads.
    """
    if isinstance(schema, list):
        return [close_objects(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {key: close_objects(part) for key, part in schema.items()}
    is_open = closed.get("type") == "object" and "properties" in closed
    return {"additionalProperties": False, **closed} if is_open else closed


@dataclass(frozen=True)
class Said:
    """A new piece of an answer: text, or of a call its name (once) and more of its arguments, which are JSON."""

    text: str = ""
    name: str | None = None
    arguments: str = ""


class AnswerReader:
    """Tells calls from text in an answer that `tool_grammar` constrains, while it comes."""

    def __init__(self) -> None:
        self._held = ""
        self._name: str | None = None

    @property
    def has_call(self) -> bool:
        """Whether the answer is a call."""
        return self._name is not None

    def push(self, text: str, *, is_last: bool) -> Said:
        """Take more text; what cannot be told yet is held back, at the end nothing is."""
        self._held += text
        name = None
        if self._name is None:
            found = _CALL.match(self._held)
            if not found:
                is_open = not is_last and self._held.lstrip().startswith("<")
                said, self._held = ("", self._held) if is_open else (self._held, "")
                return Said(text=said)
            name = self._name = found[1]
            self._held = self._held[found.end() :]
        if is_last:
            return Said(name=name, arguments=self._held.removesuffix(_TAIL))
        keep = max(len(self._held) - len(_TAIL), 0)
        arguments, self._held = self._held[:keep], self._held[keep:]
        return Said(name=name, arguments=arguments)
