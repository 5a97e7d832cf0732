"""OpenAI's request to `/v1/responses`, as far as it is honoured. Ignores how an answer is found.

Anything else is refused by name. A request is carried out as the chat completion that it amounts to.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from service.openai_schemas import ChatMessage, CompletionRequest

# How the fields of chat completions are called here; what has no entry is called the same.
FIELDS = {"messages": "input", "response_format": "text", "max_tokens": "max_output_tokens"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextContent(_Strict):
    """A piece of a message; only text is read. What an earlier answer carried beside its text is ignored."""

    type: Literal["input_text", "output_text"]
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


def _as_parts(value: Any) -> Any:
    return [{"type": "input_text", "text": value}] if isinstance(value, str) else value


class MessageItem(_Strict):
    """A message, as a client writes it or as an earlier answer gave it."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: list[TextContent]
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None

    _content_may_be_text = field_validator("content", mode="before")(_as_parts)

    @property
    def text(self) -> str:
        """The message as one string."""
        return "\n".join(part.text for part in self.content)


class CallItem(_Strict):
    """What the model once asked a function."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class CallOutputItem(_Strict):
    """What the function answered."""

    type: Literal["function_call_output"]
    call_id: str
    output: list[TextContent]
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None

    _output_may_be_text = field_validator("output", mode="before")(_as_parts)


def _kind(item: Any) -> str:
    return str(item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", ""))


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[CallOutputItem, Tag("function_call_output")],
    Discriminator(_kind),
]


class FunctionTool(_Strict):
    """A function that the model may call. Arguments always fit its schema, strict or not."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFunction(_Strict):
    """Demands a call of one function."""

    type: Literal["function"]
    name: str


class TextFormat(_Strict):
    """Free text, any JSON object, or JSON of a schema. Answers always fit, strict or not."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "answer"
    json_schema: dict[str, Any] | None = Field(None, alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextConfig(_Strict):
    """The form of the answer."""

    format: TextFormat = Field(default_factory=TextFormat)


class ResponseRequest(_Strict):
    """The part of OpenAI's request that is honoured.

    `background` is honoured with `stream`, and makes the stream resumable.
    """

    model: str
    input: Annotated[list[Item], Field(min_length=1)]
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool = True
    stream: bool = False
    background: bool = False
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    tools: list[FunctionTool] = Field(default_factory=list)
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | None = None
    text: TextConfig = Field(default_factory=TextConfig)
    metadata: Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)] | None = None
    truncation: Literal["disabled"] | None = None
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _input_may_be_text(cls, value: Any) -> Any:
        return [{"role": "user", "content": value}] if isinstance(value, str) else value

    def as_completion(self, earlier: list[Item]) -> CompletionRequest:
        """The chat completion that this amounts to, after the `earlier` items of its chain."""
        rules = [ChatMessage(role="developer", content=self.instructions)] if self.instructions else []
        found: dict[str, Any] = {
            "model": self.model,
            "messages": [*rules, *_messages([*earlier, *self.input])],
            "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "response_format": _response_format(self.text.format),
            "tools": [_tool(tool) for tool in self.tools] or None,
            "tool_choice": self.tool_choice,
            "user": self.user,
        }
        if isinstance(self.tool_choice, NamedFunction):
            found["tool_choice"] = {"type": "function", "function": {"name": self.tool_choice.name}}
        return CompletionRequest.model_validate(found)


def _messages(items: list[Item]) -> list[ChatMessage]:
    """Items as messages; calls that follow one another are one message's."""
    messages: list[ChatMessage] = []
    calls: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item, CallItem):
            if not calls:
                messages.append(ChatMessage(role="assistant"))
            calls.append({"id": item.call_id, "function": {"name": item.name, "arguments": item.arguments}})
            messages[-1] = ChatMessage.model_validate({"role": "assistant", "tool_calls": calls})
            continue
        calls = []
        if isinstance(item, CallOutputItem):
            text = "\n".join(part.text for part in item.output)
            messages.append(ChatMessage(role="tool", tool_call_id=item.call_id, content=text))
        else:
            messages.append(ChatMessage(role=item.role, content=item.text))
    return messages


def _tool(tool: FunctionTool) -> dict[str, Any]:
    function = tool.model_dump(include={"name", "description", "parameters", "strict"}, exclude_none=True)
    return {"type": "function", "function": function}


def _response_format(wanted: TextFormat) -> dict[str, Any] | None:
    if wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "json_object"}
    schema = {"name": wanted.name, "schema": wanted.json_schema or {}, "strict": wanted.strict}
    return {"type": "json_schema", "json_schema": schema}
