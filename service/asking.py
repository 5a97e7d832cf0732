"""Whom the request at hand is about, for what many requests share: the core. Ignores what is asked.

`Kit.invoke` and the chat API say it once; whatever runs for the request finds it, also in threads that took its context
along. Work that no request waits for has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asking:
    """One request.

    Attributes:
        subject: Tenant and whom it is about: the same one sees the same edition.
        request_id: For log and audit.
        answered_by: Model -> version of what answered; is filled as models are asked.
    """

    subject: str
    request_id: str
    answered_by: dict[str, str] = field(default_factory=dict)


ASKING: ContextVar[Asking | None] = ContextVar("trivium_asking", default=None)


@contextmanager
def asked_for(asking: Asking) -> Iterator[None]:
    """The block runs for this request."""
    token = ASKING.set(asking)
    try:
        yield
    finally:
        ASKING.reset(token)


def each_asked_for(asking: Asking, events: Iterator[Any]) -> Iterator[Any]:
    """`events`, made for this request; they are read to the end, or closed, by one thread."""
    with asked_for(asking):
        yield from events
