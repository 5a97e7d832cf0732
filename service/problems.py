"""Errors on the wire: RFC 9457 problem details, and OpenAI's error shape under its routes. Ignores the causes.

A problem names field, value, rule and remedy. Values that a caller sent are not repeated: they may be personal data.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from core_model.generation import EngineBusy, EngineStopped, GenerationFailed
from verticals.broken_rules import rule_of, size_of
from verticals.contract import InvalidInput, TriviumError, Unavailable

OPENAI_ROUTES = ("/v1/chat/", "/v1/responses", "/v1/embeddings", "/v1/models")
DATABASE_AWAY = (OperationalError, TimeoutError, sqlite3.OperationalError)  # the last of the agent's checkpoints
PASSED_ON = (TriviumError, *DATABASE_AWAY)  # as an HTTPException's cause: FastAPI lets no other by as it reads a body
Documented = dict[int | str, dict[str, Any]]
_log = structlog.get_logger()


def documented(media_type: str) -> Documented:
    """What OpenAPI says of refusals and failures, in place of FastAPI's own 422."""
    kinds = (("4XX", "A refusal: what is wrong with the request"), ("5XX", "A failure; 503 says when to ask again"))
    return {code: {"description": text, "content": {media_type: {}}} for code, text in kinds}


def problem(
    *, status: int, title: str, detail: str, request_id: str, errors: Sequence[dict[str, Any]] = (), **members: Any
) -> dict[str, Any]:
    """The body of an `application/problem+json` answer."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "request_id": request_id}
    body |= {name: value for name, value in members.items() if value is not None}
    return body | ({"errors": list(errors)} if errors else {})


def of_error(error: TriviumError, *, request_id: str) -> dict[str, Any]:
    """Problem details of one of ours."""
    told = {**_told(error), "remedy": error.remedy}
    return problem(status=error.status, title=error.title, detail=str(error), request_id=request_id, **told)


def of_validation(errors: Sequence[Any], *, request_id: str, of_request: bool = False) -> dict[str, Any]:
    """Problem details of pydantic's findings: one entry a field, with its size where that is wrong, never its value.

    Args:
        errors: The findings.
        request_id: Of the request.
        of_request: Whether FastAPI found them: its locations begin with body, query, path or header.
    """
    skip = 1 if of_request else 0
    found = [InvalidInput(rule_of(one), field=_field(one, skip=skip), value=size_of(one)) for one in errors]
    listed = [_told(error) for error in found]
    return problem(
        status=422,
        title=InvalidInput.title,
        detail="; ".join(str(error).removesuffix(".") for error in found),
        request_id=request_id,
        errors=listed,
        **(listed[0] if listed else {}),
        remedy="The schema is at /docs.",
    )


def as_ours(error: Exception, *, request_id: str) -> TriviumError:
    """`error` as one of ours. The engine's and the database's pass; all else is a bug: the log gets its traceback."""
    if isinstance(error, HTTPException) and isinstance(error.__cause__, PASSED_ON):
        error = error.__cause__
    if isinstance(error, TriviumError):
        return error
    if isinstance(error, EngineBusy | EngineStopped | GenerationFailed):
        return Unavailable(str(error))
    if isinstance(error, DATABASE_AWAY):
        _log.warning("database unavailable", error=type(error).__name__, request_id=request_id)
        return Unavailable("the database is busy or away", remedy="Send the request again.")
    if isinstance(error, UnicodeEncodeError):  # JSON can write what UTF-8 cannot
        return InvalidInput("a text holds half a character (a lone surrogate)", remedy="Send whole characters.")
    _log.error("unexpected failure", error=type(error).__name__, request_id=request_id, exc_info=error)
    return TriviumError("an unexpected failure; the log has it under this request_id")


def named_rule(error: ValueError) -> tuple[str, str]:
    """The core's "field: rule.", apart; a message of another form is a rule of no field."""
    name, colon, rule = str(error).partition(": ")
    return (name, rule) if colon else ("", str(error))


def answer(request: Request, body: dict[str, Any], *, headers: dict[str, str] | None = None) -> Response:
    """`body` as the client of this route expects it."""
    if request.url.path.startswith(OPENAI_ROUTES):
        kind = "invalid_request_error" if body["status"] < 500 else "server_error"
        error = {"message": body["detail"], "type": kind, "param": body.get("field"), "code": body["title"]}
        return JSONResponse({"error": error}, status_code=body["status"], headers=headers)
    return JSONResponse(body, status_code=body["status"], headers=headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every failure of `app` in this form."""

    app.add_exception_handler(TriviumError, of_failure)

    @app.exception_handler(RequestValidationError)
    def _validation(request: Request, error: RequestValidationError) -> Response:
        return answer(request, of_validation(error.errors(), request_id=request_id_of(request), of_request=True))

    @app.exception_handler(ValidationError)
    def _model(request: Request, error: ValidationError) -> Response:
        return answer(request, of_validation(error.errors(), request_id=request_id_of(request)))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, PASSED_ON):
            return of_failure(request, error)
        status, title = error.status_code, HTTPStatus(error.status_code).phrase
        if isinstance(error.__cause__, UnicodeDecodeError):  # of which FastAPI says only that the body was not parsed
            ours = InvalidInput("must be UTF-8", field="body", remedy="Send JSON encoded as UTF-8.")
            body = of_error(ours, request_id=request_id_of(request)) | {"status": status, "title": title}
        else:
            body = problem(status=status, title=title, detail=error.detail, request_id=request_id_of(request))
        return answer(request, body, headers=dict(error.headers or {}))

    @app.exception_handler(ClientDisconnect)
    def _gone(request: Request, _error: ClientDisconnect) -> Response:
        return _http(request, HTTPException(400))  # as FastAPI says where it reads the body; nobody hears it

    for kind in (*DATABASE_AWAY, EngineBusy, EngineStopped, GenerationFailed, UnicodeEncodeError):
        app.add_exception_handler(kind, of_failure)


def of_failure(request: Request, error: Exception) -> Response:
    """The answer to any failure that is not the framework's own; `service/envelope.py` asks for it last."""
    ours = as_ours(error, request_id=request_id_of(request))
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(ours.status, {})
    if (retry_after_s := getattr(ours, "retry_after_s", None)) is not None:
        headers = {"Retry-After": str(retry_after_s), **getattr(ours, "headers", {})}
    return answer(request, of_error(ours, request_id=request_id_of(request)), headers=headers)


def request_id_of(request: Request) -> str:
    """The id that the middleware gave this request."""
    return str(getattr(request.state, "request_id", ""))


def _told(error: TriviumError) -> dict[str, Any]:
    told = {"field": error.field, "value": error.value, "rule": error.rule}
    return {name: str(value) for name, value in told.items() if value is not None}


def _field(error: Any, *, skip: int) -> str:
    if error["type"] == "json_invalid":  # its location is a position in the text, not a field
        return "body"
    return ".".join(str(part) for part in error["loc"][skip:]) or "body"
