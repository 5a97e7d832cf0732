"""Typed HTTP client of the Trivium API, built from the verticals' operations. Ignores how answers are shown."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from importlib import import_module
from typing import Any, Self
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from service.roles import OF_ALL_TENANTS, covers
from verticals.contract import Artifact, Operation, UploadedFile, Vertical

__all__ = ["ApiError", "Artifact", "Operation", "TriviumClient", "UploadedFile"]

_DONE = "[DONE]"
_GUESS_S = 5.0  # a service that is away is not asked for scopes more often


@dataclass
class ApiError(Exception):
    """A failed call: the problem details (RFC 9457) that the API sent, or the reason why it could not be asked.

    `status` is the HTTP status, 0 when no answer came.
    """

    status: int
    title: str
    detail: str = ""
    field: str | None = None
    value: Any = None
    rule: str | None = None
    remedy: str | None = None
    request_id: str | None = None
    errors: tuple[dict[str, Any], ...] = ()  # each with field and rule, when several fields are wrong

    def __str__(self) -> str:
        return f"{self.title} ({self.status}): {self.detail}" if self.detail else f"{self.title} ({self.status})"

    @classmethod
    def from_problem(cls, problem: Mapping[str, Any], status: int) -> ApiError:
        """From a problem-details object; members that are missing stay empty, unknown ones are left out."""
        given = {name: problem.get(name) for name in ("field", "value", "rule", "remedy", "request_id")}
        return cls(
            status=int(problem.get("status") or status),
            title=str(problem.get("title") or "Request failed"),
            detail=str(problem.get("detail") or ""),
            errors=tuple(problem.get("errors") or ()),
            **given,
        )


class TriviumClient:
    """Calls operations of the verticals by name. Safe to share between threads.

    Args:
        base_url: Where the API answers, e.g. `http://127.0.0.1:8000`.
        api_key: Sent as a bearer token: an API key, or a person's access token.
        transport: An httpx transport instead of the network, for tests.
        timeout_s: Longest wait for a byte; generation on a CPU can be slow.

    Attributes:
        who: A fingerprint of address and key: what is kept of answers must be kept apart by it.
    """

    def __init__(
        self, base_url: str, api_key: str, transport: httpx.BaseTransport | None = None, *, timeout_s: float = 120.0
    ) -> None:
        self._scopes: tuple[float, list[str]] = (-math.inf, [])  # until when they are known, and which
        self.who = hashlib.sha256(f"{base_url}\n{api_key}".encode()).hexdigest()
        self._http = httpx.Client(
            base_url=base_url.rstrip("/"),
            headers={"Authorization": f"Bearer {api_key}"},
            transport=transport,
            trust_env=False,  # only service/settings.py reads the environment
            timeout=httpx.Timeout(timeout_s, connect=5.0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def base_url(self) -> str:
        """Where the API is."""
        return str(self._http.base_url)

    def me(self) -> dict[str, Any]:
        """Who this key or token speaks for: `tenant`, `actor`, `roles`, `scopes`, `customer`."""
        found = dict(self._get("/v1/me"))
        self._scopes = math.inf, found["scopes"]
        return found

    def may(self, scope: str) -> bool:
        """Whether the API would let this key or token do `scope`, or anything of an area (`finance.*`).

        What is shown follows it; what is done is decided by the API alone. Without an answer all is shown.
        """
        if time.monotonic() >= self._scopes[0]:
            try:
                self.me()
            except ApiError:
                self._scopes = time.monotonic() + _GUESS_S, ["*", *(f"{area}.*" for area in OF_ALL_TENANTS)]
        scopes = self._scopes[1]
        area, _, operation = scope.partition(".")
        return covers(scopes, scope) or (operation == "*" and any(one.startswith(f"{area}.") for one in scopes))

    def call(self, vertical: str, operation: str, request: BaseModel) -> Any:
        """Run one operation.

        Args:
            vertical: Name of the folder in `verticals/`.
            operation: Name of one of its operations.
            request: An instance of that operation's request model.

        Returns:
            The operation's response model, or an `Artifact`.

        Raises:
            ApiError: the API refused, failed or did not answer.
            ValueError: no such vertical or operation, or a request of another model.
        """
        op = _operation(vertical, operation, request, streaming=False)
        with _connection_errors():
            answer = self._http.request(**_arguments(op.method, f"/v1/{vertical}{op.path}", _fields(request)))
        _raise_for_problem(answer)
        if not issubclass(op.response, BaseModel):
            return _artifact(answer)
        return _parse(op.response, answer.text)

    def examples(self, vertical: str, operation: str) -> dict[str, dict[str, Any]]:
        """The example requests that an operation declares, by name. Nothing is sent."""
        found = next(op for op in _declared(vertical).operations if op.name == operation)
        return {name: dict(body) for name, body in found.examples.items()}

    def stream(self, vertical: str, operation: str, request: BaseModel) -> Iterator[BaseModel]:
        """Run one streaming operation; yields its events as they come. Closing the iterator cancels it.

        Raises:
            ApiError: as `call`; also when the stream ends before it is complete.
        """
        op = _operation(vertical, operation, request, streaming=True)
        if not issubclass(op.response, BaseModel):
            raise ValueError(f"{vertical}.{operation} streams events, so its response must be a model")
        arguments = _arguments(op.method, f"/v1/{vertical}{op.path}", _fields(request))
        with _connection_errors(), self._http.stream(**arguments) as answer:
            if answer.is_error:
                answer.read()
                _raise_for_problem(answer)
            for data in _stream_data(answer):
                yield _parse(op.response, data)

    def send(self, method: str, path: str, fields: Mapping[str, Any]) -> Any:
        """Call an operation known only by its JSON schema: `{names}` in `path` are filled from `fields`.

        Returns:
            The decoded JSON, the list of events of a stream, or an `Artifact` when the answer is a file.
        """
        with _connection_errors():
            answer = self._http.request(**_arguments(method, path, fields))
        _raise_for_problem(answer)
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return [json.loads(data) for data in _stream_data(answer)]
        return _decode(answer) if _is_json(answer) else _artifact(answer)

    def health(self) -> dict[str, Any]:
        """What `/healthz` says. A part that is down is an answer, not an error."""
        with _connection_errors():
            answer = self._http.get("/healthz")
        if not _is_json(answer):
            _raise_for_problem(answer)
        return dict(_decode(answer))

    def verticals(self) -> list[dict[str, Any]]:
        """The verticals of this installation with their operations and JSON schemas."""
        found = self._get("/v1/verticals")
        return list(found["verticals"] if isinstance(found, dict) else found)

    def eval_runs(self) -> list[dict[str, Any]]:
        """Summaries of the stored evaluation runs, newest first."""
        found = self._get("/v1/evals/runs")
        return list(found["runs"] if isinstance(found, dict) else found)

    def eval_run(self, run_id: str) -> dict[str, Any]:
        """One evaluation run with all its metrics."""
        return dict(self._get(f"/v1/evals/runs/{quote(run_id, safe='')}"))

    def eval_page(self, run_id: str) -> str:
        """One evaluation run as a self-contained HTML page."""
        with _connection_errors():
            answer = self._http.get(f"/v1/evals/runs/{quote(run_id, safe='')}/page")
        _raise_for_problem(answer)
        return answer.text

    def operations(self, what: str, **query: Any) -> Any:
        """What the watch tells: `now`, `trends`, `experts`, `drift`, `rules`, `alarms`, or `alarms/<id>`."""
        return self._get(f"/v1/operations/{what}", **query)

    def acknowledge(self, alarm_id: str, *, person: str, reason: str) -> dict[str, Any]:
        """Say that a person has seen an alarm, and why it may stay."""
        fields = {"alarm_id": alarm_id, "person": person, "reason": reason}
        return dict(self.send("POST", "/v1/operations/alarms/{alarm_id}/acknowledge", fields))

    def customer_key(self, customer: str) -> dict[str, Any]:
        """A key for one of the shop's customers, valid for an hour: `key`, `customer`, `expires_at`."""
        return dict(self.send("POST", "/v1/customer-keys", {"customer": customer}))

    def audit(self) -> dict[str, Any]:
        """Whether the audit chain of this key's tenant is unbroken."""
        return dict(self._get("/v1/audit/verify"))

    def audit_entries(self, **wanted: Any) -> list[dict[str, Any]]:
        """A page of the audit trail, newest first: `kind`, `actor`, `subject`, `outcome`, `since`, `before`, ..."""
        return list(self._get("/v1/audit/entries", **wanted))

    def audit_entry(self, sequence: int) -> dict[str, Any]:
        """One entry in full."""
        return dict(self._get(f"/v1/audit/entries/{sequence}"))

    def audit_replay(self, sequence: int, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A recorded decision made again; `given` is its input, where that is not kept."""
        return dict(self.send("POST", f"/v1/audit/entries/{sequence}/replay", {"input": given}))

    def audit_export(self, *, form: str, **wanted: Any) -> Artifact:
        """The wanted entries as a file: csv, jsonl or fhir."""
        made: Artifact = self.send("GET", "/v1/audit/export", {"format": form, **wanted})
        return made

    def _get(self, path: str, **query: Any) -> Any:
        with _connection_errors():
            answer = self._http.get(path, params=query)
        _raise_for_problem(answer)
        return _decode(answer)


def _declared(vertical: str) -> Vertical:
    try:
        declared: Vertical = import_module(f"verticals.{vertical}").VERTICAL
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"vertical: no vertical named {vertical!r} is installed") from error
    return declared


def _operation(vertical: str, operation: str, request: BaseModel, *, streaming: bool) -> Operation:
    declared = _declared(vertical)
    found = {op.name: op for op in declared.operations}.get(operation)
    if found is None:
        names = ", ".join(op.name for op in declared.operations)
        raise ValueError(f"operation: {vertical} has no operation {operation!r}; it has {names}")
    if found.streaming != streaming:
        raise ValueError(f"operation: {vertical}.{operation} needs `{'stream' if found.streaming else 'call'}`")
    if not isinstance(request, found.request):
        raise ValueError(
            f"request: {vertical}.{operation} takes {found.request.__name__}, not {type(request).__name__}"
        )
    return found


def _fields(request: BaseModel) -> dict[str, Any]:
    """JSON-able values of `request`; uploads stay as they are."""
    uploads = {name: value for name, value in request if _uploads(value)}
    # No warnings: a form's request may hold bad values on purpose, so that the API is the one that names the rule.
    return {**request.model_dump(mode="json", exclude=set(uploads), warnings=False), **uploads}


def _arguments(method: str, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What httpx needs to send `fields` as the contract says: `{names}` in the path, then query, JSON or multipart."""
    rest = dict(fields)
    for name in re.findall(r"{(\w+)}", path):
        path = path.replace("{" + name + "}", quote(str(rest.pop(name)), safe=""))
    how: dict[str, Any] = {"method": method, "url": path}
    uploads = {name: _uploads(value) for name, value in rest.items() if _uploads(value)}
    given = {name: value for name, value in rest.items() if value is not None and name not in uploads}
    if uploads:
        files = [
            (name, (file.filename, file.content, file.media_type)) for name, those in uploads.items() for file in those
        ]
        return how | {"files": files, "data": {name: _form_text(value) for name, value in given.items()}}
    return how | ({"params": given} if method in ("GET", "DELETE") else {"json": rest})


def _uploads(value: Any) -> list[UploadedFile]:
    """The files in a field; none if it holds something else."""
    files = value if isinstance(value, list) else [value]
    return files if all(isinstance(file, UploadedFile) for file in files) else []


def _form_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def _connection_errors() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise ApiError(0, "The service did not answer in time", remedy="Try again; see the service's log.") from error
    except httpx.TransportError as error:
        remedy = "Check that the service runs and that the address is right."
        raise ApiError(0, "The service cannot be reached", detail=type(error).__name__, remedy=remedy) from error


def _raise_for_problem(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    raise ApiError.from_problem(problem if isinstance(problem, dict) else {}, answer.status_code)


def _is_json(answer: httpx.Response) -> bool:
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    return bool(media_type == "application/json" or media_type.endswith("+json"))


def _decode(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise _unexpected("no JSON") from error


def _parse(model: type[BaseModel], text: str) -> BaseModel:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise _unexpected(f"{model.__name__}.{where} is not as declared") from error


def _unexpected(detail: str) -> ApiError:
    return ApiError(0, "The answer could not be read", detail, remedy="Run client and service of the same version.")


def _artifact(answer: httpx.Response) -> Artifact:
    header = Message()
    header["content-disposition"] = answer.headers.get("content-disposition", "attachment")
    media_type = answer.headers.get("content-type", "application/octet-stream")
    return Artifact(answer.content, media_type, header.get_filename() or "download")


def _stream_data(answer: httpx.Response) -> Iterator[str]:
    """The data of a text/event-stream up to `[DONE]`. An event of type `error` carries problem details and ends it."""
    for line in answer.iter_lines():
        name, _, value = line.partition(":")
        data = value.strip()
        if name != "data":
            continue
        if data == _DONE:
            return
        if data.startswith('{"type":"error"'):
            raise ApiError.from_problem(json.loads(data).get("error") or {}, 500)
        yield data
    raise ApiError(0, "The answer broke off", "the stream ended before it was complete", remedy="Ask again.")
