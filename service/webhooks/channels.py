"""What a channel is: it proves and reads a platform's requests, and sends answers. Ignores how answers are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from verticals.broken_rules import first_of
from verticals.contract import InvalidInput, Unavailable

TIMEOUT_S = 10.0
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Inbound:
    """A customer's message, whatever platform it came from."""

    event_id: str
    conversation: str  # the platform's name of it, unique within the channel
    text: str
    address: Mapping[str, Any]  # what the channel needs to answer there; JSON


@dataclass(frozen=True)
class Immediate:
    """A request that needs no work: what to answer at once."""

    body: Mapping[str, str]


IGNORED = Immediate({"status": "ignored"})


@dataclass(frozen=True)
class Reply:
    """An answer on its way back."""

    reply_id: str  # the same at each attempt
    address: Mapping[str, Any]
    text: str
    hand_over: bool  # a person was asked to take over


class Channel(Protocol):
    """One platform."""

    def receive(self, headers: Mapping[str, str], body: bytes, *, now: float) -> Inbound | Immediate:
        """Prove and read a request; header names are in lower case.

        Raises:
            BadSignature: it is not the platform's.
            InvalidInput: it is not what the platform sends.
        """

    def send(self, reply: Reply) -> None:
        """Deliver an answer.

        Raises:
            Unavailable: the platform did not take it; try again.
        """


def parse(model: type[Model], body: bytes) -> Model:
    """The request's JSON as `model`.

    Raises:
        InvalidInput: it is broken, or a field breaks a rule; its value is not repeated.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        field, rule = first_of(error, whole="body")
        raise InvalidInput(rule, field=field) from None


def post(client: httpx.Client, url: str, **options: Any) -> httpx.Response:
    """POST to a platform; anything but 2xx is a failure, a redirect too.

    Raises:
        Unavailable: no connection, or an answer that is no success. Neither address nor answer is repeated.
    """
    try:
        answer = client.post(url, timeout=TIMEOUT_S, follow_redirects=False, **options)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"the receiver cannot be reached ({type(error).__name__})") from None
    if not answer.is_success:
        raise Unavailable(f"the receiver answers {answer.status_code}")
    return answer
