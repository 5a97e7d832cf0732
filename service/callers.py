"""Who a request comes from: its key or token, checked and counted once. Ignores what the request asks for."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import Scope

from service.auth import KEY_PREFIX, Caller, Unauthenticated
from service.kit import Kit
from service.rate_limits import RateLimits
from service.scope import span

_bearer = HTTPBearer(
    auto_error=False,
    description="An API key, as `trivium up` prints or `trivium keys issue` makes; or a person's access token, if "
    "an issuer is set.",
)


def kit_of(request: Request) -> Kit:
    """The kit that serves this request."""
    return cast(Kit, request.app.state.kit)


def credential_of(scope: Scope) -> str:
    """The key or token that a request is sent with; empty where there is none."""
    scheme, _, credential = Headers(scope=scope).get("authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def caller_of(request: Request) -> Caller:
    """The caller behind the request's key or token, at most once a request.

    Raises:
        Unauthenticated: neither, or a bad one.
        RateLimited: the caller sent too many.
        Unavailable: the issuer of the token cannot be asked for its keys.
    """
    known = getattr(request.state, "caller", None)
    if known is not None:
        return cast(Caller, known)
    credential = credential_of(request.scope)
    if not credential:
        raise Unauthenticated(
            "an API key is needed", field="Authorization", remedy="Send `Authorization: Bearer <key>`."
        )
    kit = kit_of(request)
    tokens = None if credential.startswith(f"{KEY_PREFIX}_") else kit.tokens
    with span("auth"):
        caller = tokens.authenticate(credential) if tokens else kit.keys.authenticate(credential)
        limits = cast(RateLimits, request.app.state.rate_limits)
        request.state.rate_limit_headers = limits.take(caller.key_id)
    request.state.caller = caller
    return caller


def _authenticate(request: Request, _documented: Annotated[object, Depends(_bearer)]) -> Caller:
    return caller_of(request)


Authenticated = Annotated[Caller, Depends(_authenticate)]
