"""Turns each declared operation into an HTTP route with its schema. Ignores what the operations do."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

from fastapi import APIRouter, Body, File, Form, Path, Query, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, create_model

from service import problems
from service.auth import Caller
from service.callers import Authenticated
from service.idempotent_routes import IdempotentRoute, WholeRoute
from service.kit import Kit
from service.recorded import is_whole
from service.sse import event_stream, open_stream
from verticals.contract import Artifact, ArtifactStream, OpenFile, Operation, UploadedFile, Vertical

_REQUIRED = inspect.Parameter.empty
_FILES: dict[Any, Any] = {
    UploadedFile: UploadFile,
    list[UploadedFile]: list[UploadFile],
}  # a field's type -> the form's


def vertical_router(kit: Kit, vertical: Vertical) -> APIRouter:
    """Routes `/v1/<vertical>/...`, one an operation."""
    router = APIRouter(prefix=f"/v1/{vertical.name}", tags=[vertical.name], route_class=IdempotentRoute)
    handlers = kit.handlers[vertical.name]
    for operation in vertical.operations:
        endpoint = (
            _streaming_endpoint(kit, vertical, operation)
            if operation.streaming
            else _endpoint(kit, vertical, operation)
        )
        endpoint.__signature__ = _signature(operation)  # type: ignore[attr-defined]
        raw = operation.streaming or operation.response is Artifact
        router.add_api_route(
            operation.path,
            endpoint,
            methods=[operation.method],
            name=f"{vertical.name}.{operation.name}",
            operation_id=f"{vertical.name}_{operation.name}",
            summary=operation.summary,
            response_model=None if raw else operation.response,
            responses=_documented(operation),
            route_class_override=WholeRoute if is_whole(operation, handlers.get(operation.name)) else None,
        )
    return router


def _endpoint(kit: Kit, vertical: Vertical, operation: Operation) -> Callable[..., Any]:
    def endpoint(request: Request, caller: Caller, **parts: Any) -> Any:
        asked, request_id = _assemble(operation, parts), problems.request_id_of(request)
        noted = request.state.answered_by = dict[str, str]()
        found = kit.invoke(
            vertical.name,
            operation.name,
            asked,
            caller=caller,
            request_id=request_id,
            answered_by=noted,
            on_record=getattr(request.state, "on_record", None),
        )
        if isinstance(found, ArtifactStream):
            return StreamingResponse(found.chunks, media_type=found.media_type, headers=as_download(found))
        return _download(found) if isinstance(found, Artifact) else found

    return endpoint


def _streaming_endpoint(kit: Kit, vertical: Vertical, operation: Operation) -> Callable[..., Any]:
    async def endpoint(request: Request, caller: Caller, **parts: Any) -> Any:
        asked, request_id = _assemble(operation, parts), problems.request_id_of(request)
        noted = request.state.answered_by = dict[str, str]()

        def start() -> Iterator[BaseModel]:
            found = kit.invoke(
                vertical.name, operation.name, asked, caller=caller, request_id=request_id, answered_by=noted
            )
            return cast(Iterator[BaseModel], found)

        return event_stream(_as_json(await open_stream(start), request_id=request_id))

    return endpoint


async def _as_json(items: AsyncIterator[Any], *, request_id: str) -> AsyncIterator[str]:
    """Events as JSON; a failure in mid-stream becomes a last event of type `error`."""
    async for item in items:
        if isinstance(item, Exception):
            failure = problems.as_ours(item, request_id=request_id)
            details = problems.of_error(failure, request_id=request_id)
            yield _ErrorEvent(error=details).model_dump_json()
        else:
            yield item.model_dump_json()


class _ErrorEvent(BaseModel):
    type: str = "error"
    error: dict[str, Any]


def _signature(operation: Operation) -> inspect.Signature:
    """The parameters that FastAPI reads: path, then query, form or body, from the operation's request model."""
    fields = dict(operation.request.model_fields)
    found: dict[str, tuple[Any, Any]] = {"request": (Request, _REQUIRED), "caller": (Authenticated, _REQUIRED)}
    for name in re.findall(r"{(\w+)}", operation.path):
        found[name] = (fields.pop(name).annotation, Path())
    if any(field.annotation in _FILES for field in fields.values()):
        for name, field in fields.items():
            if field.annotation in _FILES:
                found[name] = (_FILES[field.annotation], File())
            else:
                default = ... if field.is_required() else field.get_default(call_default_factory=True)
                found[name] = (field.annotation, Form(default))
    elif fields:
        model = operation.request
        if len(fields) < len(operation.request.model_fields):
            chosen: dict[str, Any] = {name: (field.annotation, field) for name, field in fields.items()}
            model = create_model(f"{model.__name__}Body", __config__=model.model_config, **chosen)
        in_query = operation.method in ("GET", "DELETE")
        found["content"] = (model, Query() if in_query else Body(openapi_examples=_examples(operation)))
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, keyword, annotation=annotation, default=default)
        for name, (annotation, default) in found.items()
    ]
    return inspect.Signature(parameters)


def _assemble(operation: Operation, parts: dict[str, Any]) -> BaseModel:
    """The operation's request from what FastAPI parsed."""
    is_model = isinstance(parts.get("content"), BaseModel)  # a form may have a field of this name
    content = parts.pop("content") if is_model else None
    if content is not None and not parts:
        return cast(BaseModel, content)
    values: dict[str, Any] = dict(content) if content is not None else {}
    for name, value in parts.items():
        if isinstance(value, list) and all(map(_is_file, value)):
            values[name] = [_uploaded(each, streamed=operation.streams_file) for each in value]
        else:
            values[name] = _uploaded(value, streamed=operation.streams_file) if _is_file(value) else value
    return operation.request.model_validate(values)


def _is_file(value: Any) -> bool:
    return isinstance(value, UploadFile) or hasattr(value, "file")


def _uploaded(upload: Any, *, streamed: bool) -> UploadedFile:
    """The file; a large one lies on disk, where the framework has put it."""
    named = {"filename": upload.filename or "upload", "media_type": upload.content_type or "application/octet-stream"}
    return OpenFile.over(upload.file, **named) if streamed else UploadedFile(content=upload.file.read(), **named)


def _download(artifact: Artifact) -> Response:
    return Response(artifact.content, media_type=artifact.media_type, headers=as_download(artifact))


def as_download(artifact: Artifact | ArtifactStream) -> dict[str, str]:
    """Headers under which a browser saves it by its name."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", artifact.filename)
    disposition = "inline" if artifact.media_type.startswith("image/") else "attachment"
    return {"Content-Disposition": f'{disposition}; filename="{safe}"'}


def _examples(operation: Operation) -> dict[str, Any]:
    return {name: {"summary": name, "value": dict(value)} for name, value in operation.examples.items()}


def _documented(operation: Operation) -> dict[int | str, dict[str, Any]]:
    documented: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": {"application/problem+json": {}}}
        for code, text in ((401, "No valid key"), (403, "The key does not cover this"), (422, "A field breaks a rule"))
    }
    if operation.streaming:
        schema = operation.response.model_json_schema() if issubclass(operation.response, BaseModel) else {}
        documented[200] = {"description": "Events", "content": {"text/event-stream": {"x-event-schema": schema}}}
    elif operation.response is Artifact:
        documented[200] = {"description": "A file", "content": {"*/*": {}}}  # its own
    return documented
