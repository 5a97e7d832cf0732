"""OpenAI's request to `/v1/chat/completions`, as far as it is honoured. Ignores how an answer is found.

Anything else is refused by name. Extensions have vLLM's names; OpenAI's client sends them in `extra_body`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_COMPLETION_TOKENS = 1024
MAX_INPUTS = 2048  # of one request for embeddings, as at OpenAI

# Sampling of the bare model: OpenAI's words, then extensions. The support agent samples as it was measured.
OPENAI_SAMPLING = (
    *("top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"),
    *("response_format", "tools", "tool_choice"),
)
EXTENSIONS = ("top_k", "min_p", "repetition_penalty", "min_tokens", "stop_token_ids")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextPart(_Strict):
    """A piece of a message; only text is read."""

    type: Literal["text"]
    text: str


class FunctionCall(_Strict):
    """What the model once asked a tool; `arguments` is JSON."""

    name: str
    arguments: str


class ToolCall(_Strict):
    """A call in an earlier answer."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(_Strict):
    """One message. `developer` is OpenAI's newer name for `system`; `tool` says what a called tool answered."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: None = None

    @property
    def text(self) -> str:
        """The message as one string."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content)

    def as_openai(self) -> dict[str, Any]:
        """The message as LangChain reads OpenAI's."""
        role = "system" if self.role == "developer" else self.role
        members = self.model_dump(include={"name", "tool_calls", "tool_call_id"}, exclude_none=True)
        return {"role": role, "content": self.text, **members}


class FunctionSpec(_Strict):
    """A tool: its name, purpose, and the JSON schema of its arguments. Arguments always fit, strict or not."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None


class ToolSpec(_Strict):
    """A tool that the model may call."""

    type: Literal["function"]
    function: FunctionSpec


class FunctionName(_Strict):
    """Names a function."""

    name: str


class NamedTool(_Strict):
    """Demands a call of one tool."""

    type: Literal["function"]
    function: FunctionName


class SchemaFormat(_Strict):
    """The schema of an answer. Answers always fit, strict or not."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str
    json_schema: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(_Strict):
    """Free text, any JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None


class StreamOptions(_Strict):
    """Whether the stream ends with a chunk that counts tokens."""

    include_usage: bool = False


class CompletionRequest(_Strict):
    """The part of OpenAI's request that is honoured; anything else is refused by name."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: str | list[str] | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ToolSpec], Field(min_length=1)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    n: Literal[1] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    stop_token_ids: list[int] | None = None

    @property
    def token_limit(self) -> int:
        """How many tokens to generate at most; a larger wish is met as far as this server goes."""
        wished = self.max_completion_tokens or self.max_tokens or 256
        return min(wished, MAX_COMPLETION_TOKENS)

    def sampling(self) -> dict[str, Any]:
        """What was set, as options of a LangChain chat model that speaks OpenAI's words."""
        set_here = self.model_dump(
            include={"temperature", "seed", *OPENAI_SAMPLING, *EXTENSIONS}, exclude_none=True, by_alias=True
        )
        extensions = {name: set_here.pop(name) for name in EXTENSIONS if name in set_here}
        return {"max_tokens": self.token_limit, **set_here, **({"extra_body": extensions} if extensions else {})}


class EmbeddingRequest(_Strict):
    """OpenAI's request to `/v1/embeddings`; `dimensions` is not honoured, and so refused."""

    model: str
    input: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS)]
        | Annotated[list[int], Field(min_length=1)]
        | Annotated[list[list[int]], Field(min_length=1, max_length=MAX_INPUTS)]
    )
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None

    @property
    def inputs(self) -> list[str] | list[list[int]]:
        """One text, or one list of tokens, a vector."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [self.input]
        return self.input
