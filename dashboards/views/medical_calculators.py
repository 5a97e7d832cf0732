"""Fleischner and Lung-RADS as forms: what is stated counts, nothing is filled in. Ignores the guidelines' tables."""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient
from verticals.medical.ct.guideline_schemas import FleischnerRequest, GuidelineAnswer, LungRadsRequest

CALCULATORS: dict[str, type[BaseModel]] = {"fleischner": FleischnerRequest, "lung_rads": LungRadsRequest}


def calculators(client: TriviumClient, labels: Labels, *, key: str) -> None:
    """Draw the chosen form and, once it is sent, its answer. Sizes are the reader's: no candidate's is taken over."""
    with st.expander(labels("calc.title"), icon=":material/calculate:"):
        st.caption(labels("calc.hint"))
        chosen = st.segmented_control(
            labels("calc.title"), list(CALCULATORS), default="fleischner", required=True,
            format_func=lambda one: labels(f"calc.{one}"), label_visibility="collapsed", key=f"{key}.calculator",
        )  # fmt: skip
        with st.form(f"{key}.{chosen}", border=False):
            columns = st.columns(3)
            stated = form(labels, CALCULATORS[chosen], lambda n: columns[n % 3], key=f"{key}.{chosen}")
            sent = st.form_submit_button(labels("calc.send"))
        if not sent:
            return
        request = CALCULATORS[chosen].model_construct(**stated)
        answer: GuidelineAnswer | None = parts.ask(labels, lambda: client.call("medical", chosen, request))
        if answer is not None:
            _answer(labels, answer)


def form(labels: Labels, model: type[BaseModel], place: Callable[[int], Any], *, key: str) -> dict[str, Any]:
    """One input a field of the request, empty at first; returns those that were stated, a prior as its own fields."""
    stated: dict[str, Any] = {}
    for n, (name, field) in enumerate(model.model_fields.items()):
        kind = _kind(field)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            st.caption(labels(f"calc.{name}"))
            columns = st.columns(len(kind.model_fields))
            inner = form(labels, kind, columns.__getitem__, key=f"{key}.{name}")
            value = inner or None
        else:
            value = _input(labels, place(n), name, kind, key=f"{key}.{name}")
        if value is not None:
            stated[name] = value
    return stated


def _kind(field: FieldInfo) -> Any:
    """The type that is stated, without the None that stands for unknown."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, UnionType):  # of a Literal and None it is the former
        (kind,) = (one for one in get_args(kind) if one is not type(None))
    return kind


def _input(labels: Labels, place: Any, name: str, kind: Any, *, key: str) -> Any:
    label, none = labels(f"calc.{name}"), labels("calc.not_stated")
    if kind is bool:
        told = place.selectbox(
            label, ["yes", "no"], index=None, placeholder=none, format_func=lambda one: labels(f"calc.{one}"), key=key
        )
        return None if told is None else told == "yes"
    if get_origin(kind) is Literal:
        return place.selectbox(
            label, get_args(kind), index=None, placeholder=none,
            format_func=lambda one: labels.get(f"calc.{one}", one), key=key,
        )  # fmt: skip
    step = 1 if kind is int else None
    return place.number_input(label, value=None, step=step, placeholder=none, key=key)


def _answer(labels: Labels, answer: GuidelineAnswer) -> None:
    st.markdown(f"**{labels(f'calc.status.{answer.status}')}**" + (f" · {answer.category}" if answer.category else ""))
    if answer.advice:
        st.info(parts.plain(labels.said(answer.advice)), icon=":material/info:")
    for note in answer.notes:
        st.markdown(parts.plain(labels.said(note)))
    for one in answer.asks:
        st.markdown(f"- **{labels(f'calc.{one.field}')}**: {parts.plain(labels.said(one.question))}")
    row = f"{parts.plain(answer.row)} · " if answer.row else ""
    st.caption(f"{row}{parts.plain(answer.source)}")
