"""Handlers that ask a live API instead of this process, patiently. Ignores which suites ask.

A suite that goes through operations cannot tell the difference: the same code judges both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel

from service.client import ApiError, TriviumClient
from verticals.contract import Context, Handler, Operation, TriviumError, Vertical

if TYPE_CHECKING:  # it takes a second to import
    from langchain_core.language_models import BaseChatModel

BUSY = (429, 503)
TRIES = 8
MAX_WAIT_S = 120.0
ANSWER_S = 120.0  # the longest silence of the bare model


@dataclass(frozen=True)
class LiveApi:
    """Where a live API answers, the key for it, and how many requests it gets at once."""

    url: str
    key: str = field(repr=False)
    concurrency: int

    def connect(self, transport: httpx.BaseTransport | None = None) -> TriviumClient:
        """A client that waits when it is told to; `transport` stands in for the network."""
        inner = transport or httpx.HTTPTransport(trust_env=False)
        return TriviumClient(self.url, self.key, transport=PatientTransport(inner))

    def chat_model(self) -> BaseChatModel | None:
        """The bare model behind its chat API; None without the extra package langchain-openai."""
        from core_model.replicas import Replicas
        from service.pieces import CORE

        try:
            from service.remote_chat import RemoteChatModel
        except ImportError:
            return None
        servers = Replicas([f"{self.url}/v1"], api_key=self.key)
        return RemoteChatModel.over(servers, CORE, timeout_s=ANSWER_S)


class NotAnswered(TriviumError):
    """The live API refused, failed or was not there; `status` is its answer's, 0 if none came."""

    title = "Not answered"

    def __init__(self, error: ApiError, operation: str) -> None:
        super().__init__(f"{error.title} ({error.status})", field=operation, remedy=error.remedy)
        self.status = error.status  # type: ignore[misc]  # of this answer, as the suites read it


class PatientTransport(httpx.BaseTransport):
    """Sends a request again when 429 or 503 comes with `Retry-After`, after that time (RFC 9110, 10.2.3)."""

    def __init__(self, inner: httpx.BaseTransport, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._inner, self._sleep = inner, sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, perhaps at the eighth try; a longer wait than two minutes is an answer too."""
        for _ in range(TRIES - 1):
            answer = self._inner.handle_request(request)
            wait_s = _retry_after_s(answer.headers.get("retry-after", ""))
            if answer.status_code not in BUSY or wait_s is None or wait_s > MAX_WAIT_S:
                return answer
            answer.close()
            self._sleep(wait_s)
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


def live_handlers(client: TriviumClient, vertical: Vertical) -> Mapping[str, Handler]:
    """The vertical's operations over HTTP; the tenant is the key's, whatever the context says."""

    def handler(operation: Operation) -> Handler:
        def ask(request: BaseModel, context: Context) -> Any:
            return ask_live(client, vertical.name, operation, request)

        return ask

    return {operation.name: handler(operation) for operation in vertical.operations}


def ask_live(client: TriviumClient, vertical: str, operation: Operation, request: BaseModel) -> Any:
    """One operation's answer, or the iterator of its events.

    Raises:
        NotAnswered: by the call, or while the events are read; the request is not repeated in it.
    """
    if operation.streaming:
        return _stream(client, vertical, operation, request)
    try:
        return client.call(vertical, operation.name, request)
    except ApiError as error:
        raise NotAnswered(error, f"{vertical}.{operation.name}") from None


def _stream(client: TriviumClient, vertical: str, operation: Operation, request: BaseModel) -> Iterator[BaseModel]:
    try:
        yield from client.stream(vertical, operation.name, request)
    except ApiError as error:
        raise NotAnswered(error, f"{vertical}.{operation.name}") from None


def _retry_after_s(header: str) -> float | None:
    """Seconds, from seconds or a date; None where it says neither."""
    if header.isascii() and header.isdecimal():
        return float(header)
    try:
        return max((parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None
