"""Finance: the same application with other values, and the smallest changes that would approve it. Nothing is recorded.

Ignores how it is scored.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient
from verticals.finance.schemas import LABELS, Application, ScoreResponse
from verticals.finance.serving_schemas import (
    CounterfactualRequest,
    CounterfactualResponse,
    ExplainRequest,
    ExplainResponse,
)

NUMBERS = {"duration_months": 1, "credit_amount_dm": 100}  # field -> step of its slider


def what_if(
    client: TriviumClient, labels: Labels, application: Application, score: ScoreResponse, *, customer: str | None
) -> None:
    """Ways to an approval, then every field to play with; the customer's sources stay as they are."""
    st.markdown(f"**{labels('whatif.ways')}**")
    _ways(client, labels, application, customer)
    st.markdown(f"**{labels('whatif.title')}**")
    st.caption(labels("whatif.note"))
    with st.container(border=True):
        _play(client, labels, application, score, customer)


def _ways(client: TriviumClient, labels: Labels, application: Application, customer: str | None) -> None:
    request = CounterfactualRequest.model_validate(application.model_dump() | {"customer": customer})
    found: CounterfactualResponse | None = parts.ask(labels, lambda: client.call("finance", "counterfactual", request))
    if found is None:
        return
    for way in found.ways:
        changes = "; ".join(
            f"{labels(f'field.{change.feature}')}: "
            f"{value_words(labels, change.feature, change.value)} → {value_words(labels, change.feature, change.to)}"
            for change in way.changes
        )
        points = labels("whatif.reaches", points=way.points)
        st.markdown(f"- {parts.plain(changes)} :gray[{points}]")
    st.caption(parts.plain(labels.said(found.explanation)))


@st.fragment
def _play(
    client: TriviumClient, labels: Labels, application: Application, score: ScoreResponse, customer: str | None
) -> None:
    """A fragment: moving a slider scores again and draws nothing else."""
    values: dict[str, Any] = application.model_dump()
    left, right = st.columns(2)
    fields = [c.feature for c in score.contributions]
    for i, name in enumerate(fields):
        with left if i % 2 == 0 else right:
            values[name] = _lever(labels, name, values[name], key=f"whatif.{score.application_id}.{name}")
    request = ExplainRequest.model_validate(values | {"customer": customer})
    found: ExplainResponse | None = parts.ask(labels, lambda: client.call("finance", "explain", request))
    if found is None:
        return
    points, prob, band = st.columns(3)
    points.metric(labels("whatif.score"), found.points, found.points - score.points or None)
    prob.metric(labels("whatif.prob"), f"{found.prob_default:.1%}")
    with band:
        parts.verdict(labels("whatif.decision"), labels(f"decision.{found.decision}"), tone=parts.TONES[found.decision])
    for because in (*found.refer_because, *found.declined_because):
        st.caption(parts.plain(labels.said(because)))


def _lever(labels: Labels, name: str, value: Any, *, key: str) -> Any:
    if name in NUMBERS:
        bounds = {type(rule).__name__: rule for rule in Application.model_fields[name].metadata}
        low, high = bounds["Ge"].ge, bounds["Le"].le
        shown_high = min(high, max(3 * value, low + 10 * NUMBERS[name]))  # the far end of the scale is out of reach
        return st.slider(labels(f"field.{name}"), low, shown_high, value, step=NUMBERS[name], key=key)
    options = [None, *LABELS[name]]
    chosen = options.index(None if value is None else str(value))
    return st.selectbox(
        labels(f"field.{name}"),
        options,
        index=chosen,
        format_func=lambda option: value_words(labels, name, option),
        key=f"{key}.{labels.language}",
    )


def value_words(labels: Labels, feature: str, value: str | int | None) -> str:
    """A field's value in words."""
    if value is None:
        return labels("finance.not_known")
    return labels.get(f"value.{feature}.{value}", str(value))
