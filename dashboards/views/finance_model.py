"""Finance beyond one applicant: batch files, the model's evidence. Ignores how scores are made."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient, UploadedFile
from verticals.finance.schemas import (
    Application,
    BatchRequest,
    DistributionRequest,
    DistributionResponse,
    Figure,
    ModelRequest,
    ModelResponse,
)

PREVIEW_ROWS = 200


def batch_tab(client: TriviumClient, labels: Labels) -> None:
    """CSV in, CSV out."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown(labels("batch.what"))
        template = _template(client)
        st.download_button(
            labels("batch.template"),
            template,
            "applications.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        with st.form("finance.batch"):
            file = st.file_uploader(labels("batch.file"), type=["csv"])
            sent = st.form_submit_button(labels("batch.send"), type="primary")
    if sent and file is None:
        left.info(labels("batch.missing"))
    elif sent and file is not None:
        upload = UploadedFile(filename=file.name, content=file.getvalue(), media_type="text/csv")
        with right:
            waiting = labels("batch.waiting")
            found = parts.ask(
                labels, lambda: client.call("finance", "score_batch", BatchRequest(file=upload)), waiting=waiting
            )
        st.session_state["finance.batch_result"] = found
    with right:
        result = st.session_state.get("finance.batch_result")
        if result is None:
            parts.empty(labels("batch.empty"), labels("batch.empty_hint"))
        else:
            _batch_result(labels, result.content, result.filename)


def _template(client: TriviumClient) -> bytes:
    rows = list(client.examples("finance", "score").values())
    columns = ["application_id", *Application.model_fields]
    return pd.DataFrame(rows).reindex(columns=columns).to_csv(index=False).encode()


def _batch_result(labels: Labels, content: bytes, filename: str) -> None:
    rows = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    bad = int((rows["error"] != "").sum())
    counts = rows.loc[rows["error"] == "", "decision"].value_counts()
    figures = [(labels("batch.rows"), len(rows))]
    figures += [(labels(f"decision.{name}"), int(counts.get(name, 0))) for name in ("approve", "refer", "decline")]
    figures += [(labels("batch.errors"), bad)]
    for column, (name, number) in zip(st.columns(len(figures)), figures, strict=True):
        column.metric(name, number)
    first = ["application_id", "points", "prob_default", "decision", "error"]
    shown = [name for name in first if name in rows] + [name for name in rows if name not in first]
    st.dataframe(rows[shown].head(PREVIEW_ROWS), hide_index=True, height=360)
    if len(rows) > PREVIEW_ROWS:
        st.caption(labels("batch.preview", shown=PREVIEW_ROWS, total=len(rows)))
    st.download_button(
        labels("batch.download"),
        content,
        filename,
        "text/csv",
        type="primary",
        icon=":material/download:",
        on_click="ignore",
    )


def model_tab(client: TriviumClient, labels: Labels) -> None:
    """The model card, its validation figures with intervals, the policy and what each decision band holds."""
    model: ModelResponse | None = parts.ask(labels, lambda: client.call("finance", "model", ModelRequest()))
    if model is None:
        return
    spread = parts.ask(labels, lambda: client.call("finance", "distribution", DistributionRequest()))
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(labels("model.validation"), anchor=False)
        st.caption(labels.said(model.validation))
        _figures(labels, model.figures)
        if spread is not None:
            st.subheader(labels("model.bands"), anchor=False)
            _bands(labels, spread)
        st.subheader(labels("model.features"), anchor=False)
        _features(labels, model)
    with right:
        st.subheader(labels("model.card"), anchor=False)
        parts.facts(
            [
                (labels("model.name"), model.name),
                (labels("model.version"), model.model_version),
                (labels("model.trained_on"), labels.said(model.trained_on)),
                (labels("model.licence"), labels.said(model.licence)),
                (labels("model.recipe"), labels.said(model.recipe)),
                (labels("model.limits"), labels.said(model.limits)),
                (labels("model.challenger"), model.challenger or "–"),
            ]
        )
        st.subheader(labels("model.policy"), anchor=False)
        parts.facts(
            [
                (labels("model.name"), f"{model.policy.name} {model.policy.version}"),
                (labels("policy.from"), str(model.policy.effective_from)),
                (labels("policy.approve_at"), str(model.policy.approve_at)),
                (labels("policy.decline_below"), str(model.policy.decline_below)),
                (labels("policy.rule"), labels.said(model.policy.rule)),
                (labels("policy.source"), labels.said(model.policy.source)),
            ]
        )
        with st.expander(labels("model.excluded", total=len(model.excluded))):
            parts.facts([(one.name, labels.said(one.reason)) for one in model.excluded])


def _figures(labels: Labels, figures: Sequence[Figure]) -> None:
    """One row a figure; the models of one figure share a scale, so that they can be compared by eye."""
    rows = []
    for name in dict.fromkeys(figure.name for figure in figures):
        group = [figure for figure in figures if figure.name == name]
        low, high = min(one.low for one in group), max(one.high for one in group)
        margin = (high - low) * 0.15 or 0.01
        rows += [
            parts.IntervalRow(
                f"{labels.said(name)} · {labels.get(f'model.{one.model}', one.model)}",
                value=one.value,
                low=one.low,
                high=one.high,
                domain=(low - margin, high + margin),
                note=f"n = {one.n}",
            )
            for one in group
        ]
    parts.intervals(rows)


def _bands(labels: Labels, spread: DistributionResponse) -> None:
    rows = [
        {
            labels("decisions.decision"): labels(f"decision.{band.decision}"),
            labels("bands.count"): band.count,
            labels("bands.share"): f"{band.share:.1%}",
            labels("bands.default_rate"): "–" if band.default_rate is None else f"{band.default_rate:.1%}",
        }
        for band in spread.bands
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    st.caption(labels.said(spread.note))


def _features(labels: Labels, model: ModelResponse) -> None:
    ordered = sorted(model.features, key=lambda one: -one.iv)
    names = {one.name: labels.get(f"field.{one.name}", one.label) for one in ordered}
    chosen = st.selectbox(
        labels("model.feature"),
        [one.name for one in ordered],
        format_func=lambda name: f"{names[name]} (IV {next(one.iv for one in ordered if one.name == name):.2f})",
    )
    feature = next(one for one in ordered if one.name == chosen)
    rows = [
        {
            labels("bins.label"): labels.said(one.label),
            labels("bands.count"): one.count,
            labels("bands.default_rate"): "–" if one.default_rate is None else f"{one.default_rate:.1%}",
            "WoE": round(one.woe, 3),
            labels("bins.points"): f"{one.points:+.1f}",
        }
        for one in feature.bins
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True)
