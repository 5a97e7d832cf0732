"""Who a request comes from: its key, checked and counted once. Ignores what the request asks for."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from service.auth import Caller, Unauthenticated
from service.kit import Kit
from service.rate_limits import RateLimits
from service.scope import span

_bearer = HTTPBearer(auto_error=False, description="An API key, as `trivium up` prints or `trivium keys issue` makes.")


def kit_of(request: Request) -> Kit:
    """The kit that serves this request."""
    return cast(Kit, request.app.state.kit)


def caller_of(request: Request) -> Caller:
    """The caller behind the request's key, at most once a request.

    Raises:
        Unauthenticated: no key, or a bad one.
        RateLimited: the key sent too many.
    """
    known = getattr(request.state, "caller", None)
    if known is not None:
        return cast(Caller, known)
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthenticated(
            "an API key is needed", field="Authorization", remedy="Send `Authorization: Bearer <key>`."
        )
    with span("auth"):
        caller = kit_of(request).keys.authenticate(key.strip())
        limits = cast(RateLimits, request.app.state.rate_limits)
        request.state.rate_limit_headers = limits.take(caller.key_id)
    request.state.caller = caller
    return caller


def _authenticate(request: Request, _documented: Annotated[object, Depends(_bearer)]) -> Caller:
    return caller_of(request)


Authenticated = Annotated[Caller, Depends(_authenticate)]
