"""What chats, sessions and tickets are made of: messages, sources, token counts. Ignores who exchanges them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator

from verticals.support.schemas.base import MAX_MESSAGE_CHARS, Strict, refuse_nul


class Message(Strict):
    """One turn's text. System messages are accepted, for clients that send one, and ignored: the shop's rules hold."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=MAX_MESSAGE_CHARS)]

    _storable = field_validator("content")(refuse_nul)


class Source(BaseModel):
    """A passage that an answer may cite as `[number]`."""

    number: Annotated[int, Field(ge=1)]
    passage_id: str
    doc_id: str
    title: str
    heading: str
    text: str
    similarity: Annotated[float, Field(ge=-1.001, le=1.001, description="Cosine of query and passage.")]
    score: Annotated[float, Field(description="Rank score, comparable within one query only.")]


class Usage(BaseModel):
    """Tokens that the language model read and wrote."""

    prompt_tokens: Annotated[int, Field(ge=0)] = 0
    completion_tokens: Annotated[int, Field(ge=0)] = 0
