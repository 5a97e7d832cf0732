"""The default view of a vertical: a form from each operation's JSON schema, the answer as JSON. Ignores its meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import Artifact, TriviumClient, UploadedFile


def render(client: TriviumClient, labels: Labels, vertical: Mapping[str, Any]) -> None:
    """Draw a form for one operation of `vertical`, as `/v1/verticals` describes it."""
    operations = {op["name"]: op for op in vertical.get("operations", [])}
    if not operations:
        parts.empty(labels("generic.none"), labels("generic.none_hint"))
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        name = st.selectbox(labels("generic.operation"), list(operations))
        operation = operations[name]
        st.caption(operation.get("summary", ""))
        schema = operation.get("request") or {}
        with st.form(f"generic.{vertical['name']}.{name}"):
            fields = {
                key: _field(labels, key, resolve(spec, schema), schema) for key, spec in _properties(schema).items()
            }
            sent = st.form_submit_button(labels("generic.send"), type="primary")
    with right:
        if not sent:
            parts.empty(labels("generic.empty"), labels("generic.empty_hint"))
            return
        _answer(client, labels, operation, fields, path=operation["path"])


def _answer(
    client: TriviumClient, labels: Labels, operation: Mapping[str, Any], fields: dict[str, Any], *, path: str
) -> None:
    given = {key: value for key, value in fields.items() if value is not None}
    waiting = labels("generic.waiting")
    found = parts.ask(labels, lambda: client.send(operation.get("method", "POST"), path, given), waiting=waiting)
    if isinstance(found, Artifact):
        st.download_button(labels("generic.download"), found.content, file_name=found.filename, mime=found.media_type)
    elif found is not None:
        st.json(found)


def resolve(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A property's schema with its `$ref` followed and the null of an optional field left out."""
    found = dict(spec)
    options = [option for option in found.get("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        found = {**options[0], **{key: value for key, value in found.items() if key != "anyOf"}}
    if "$ref" in found:
        target = schema.get("$defs", {}).get(found["$ref"].rpartition("/")[2], {})
        found = {**target, **{key: value for key, value in found.items() if key != "$ref"}}
    return found


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    return dict(schema.get("properties", {}))


def _field(labels: Labels, name: str, spec: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """The widget for one property; None when the reader left it empty."""
    required = name in schema.get("required", [])
    label = f"{name} *" if required else name
    about, default, kind = spec.get("description"), spec.get("default"), spec.get("type")
    if set(spec.get("properties", {})) == {"filename", "content", "media_type"}:
        upload = st.file_uploader(label, help=about)
        return upload and UploadedFile(filename=upload.name, content=upload.getvalue(), media_type=upload.type)
    if spec.get("enum"):
        options = list(spec["enum"])
        index = options.index(default) if default in options else 0 if required else None
        return st.selectbox(label, options, index=index, help=about)
    if kind == "boolean":
        return st.checkbox(label, value=bool(default), help=about)
    if kind in ("integer", "number"):
        return st.number_input(label, value=default, step=1 if kind == "integer" else None, help=about)
    if kind == "string":
        return st.text_input(label, value=default or "", help=about) or None
    text = st.text_area(label, value=json.dumps(default) if default is not None else "", help=labels("generic.json"))
    return _json_or_text(text)


def _json_or_text(text: str) -> Any:
    """The JSON that the reader typed, or the text itself: the API then names the field and the rule."""
    try:
        return json.loads(text) if text.strip() else None
    except ValueError:
        return text
