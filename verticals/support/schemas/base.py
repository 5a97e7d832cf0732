"""What requests share: strictness, identifiers, limits. Ignores what they ask."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_MESSAGES = 200
MAX_MESSAGE_CHARS = 16_000
MAX_DOCUMENT_CHARS = 400_000

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]
Limit = Annotated[int, Field(ge=1, le=200)]
Offset = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """Requests refuse fields that they do not know."""

    model_config = ConfigDict(extra="forbid")


def refuse_nul(text: str) -> str:
    """Text that PostgreSQL can store.

    Raises:
        ValueError: it holds a NUL character.
    """
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text
