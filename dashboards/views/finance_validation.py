"""Finance: the validation report row by row, of the model in force or of an uploaded sample. Ignores how it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
import streamlit as st

from dashboards import charts, parts
from dashboards.i18n import Labels
from dashboards.views.finance_rejects import reject_inference
from service.client import Artifact, TriviumClient, UploadedFile
from verticals.finance.validation.schemas import (
    DocumentRequest,
    EvidenceRow,
    Grade,
    ReportRequest,
    SampleReportRequest,
    ValidationReport,
)

GRADES: tuple[Grade, ...] = ("red", "yellow", "green", "information", "not measured")
_TONES: dict[Grade, charts.Tone] = {"red": "bad", "yellow": "doubt", "green": "good"}
_COLOURS: dict[str, parts.Colour] = {"red": "red", "yellow": "orange", "green": "green"}
FORMATS: tuple[Literal["md", "pdf"], ...] = ("pdf", "md")


def validation_tab(client: TriviumClient, labels: Labels) -> None:
    """Evidence with its grades; documents to download; a sample of one's own."""
    left, right = st.columns([3, 1], gap="large")
    with right:
        _documents(client, labels)
        if client.may("finance.validate_sample"):
            _upload(client, labels)
    with left:
        report = st.session_state.get("validation.uploaded")
        if report is None:
            waiting = labels("validation.waiting")
            report = parts.ask(labels, lambda: client.call("finance", "validation", ReportRequest()), waiting=waiting)
        if report is not None:
            _report(labels, report)
        reject_inference(client, labels)


def _documents(client: TriviumClient, labels: Labels) -> None:
    st.subheader(labels("validation.document"), anchor=False)
    st.caption(labels("validation.document_what"))
    if st.button(labels("validation.make"), icon=":material/description:"):
        with st.spinner(labels("validation.waiting")):
            st.session_state["validation.documents"] = [_document(client, labels, form) for form in FORMATS]
    made: list[Artifact | None] = st.session_state.get("validation.documents", [])
    for artifact in filter(None, made):
        name = artifact.filename
        st.download_button(
            name, artifact.content, name, artifact.media_type, icon=":material/download:", on_click="ignore", key=name
        )


def _document(client: TriviumClient, labels: Labels, form: Literal["md", "pdf"]) -> Artifact | None:
    return parts.ask(labels, lambda: client.call("finance", "model_document", DocumentRequest(format=form)))


def _upload(client: TriviumClient, labels: Labels) -> None:
    st.subheader(labels("validation.own"), anchor=False)
    with st.form("validation.sample", border=False):
        file = st.file_uploader(labels("batch.file"), type=["csv"], help=labels("validation.own_help"))
        sent = st.form_submit_button(labels("validation.send"))
    if sent and file is None:
        st.info(labels("batch.missing"))
    elif sent and file is not None:
        upload = UploadedFile(filename=file.name, content=file.getvalue(), media_type="text/csv")
        request = SampleReportRequest(file=upload)
        waiting = labels("validation.waiting")
        found = parts.ask(labels, lambda: client.call("finance", "validate_sample", request), waiting=waiting)
        if found is not None:
            st.session_state["validation.uploaded"] = found
    if "validation.uploaded" in st.session_state and st.button(labels("validation.back")):
        del st.session_state["validation.uploaded"]
        st.rerun()


def _report(labels: Labels, report: ValidationReport) -> None:
    st.subheader(labels("validation.report"), anchor=False)
    st.caption(
        labels(
            "validation.of",
            sample=labels.said(report.sample),
            n=report.n,
            defaults=report.defaults,
            model=report.model_version,
            made=report.made_on,
        )
    )
    with st.container(horizontal=True, gap="small"):
        for grade in GRADES:
            st.badge(f"{labels(f'grade.{grade}')}: {report.grades.get(grade, 0)}", color=_COLOURS.get(grade, "gray"))
    sections = list(dict.fromkeys(row.section for row in report.rows))
    shown = st.segmented_control(
        labels("validation.section"),
        sections,
        default=sections[0],
        format_func=lambda name: labels(f"section.{name}"),
        key="validation.section",
        label_visibility="collapsed",
    )
    rows = [row for row in report.rows if row.section == (shown or sections[0])]
    tones = {labels(f"grade.{grade}"): tone for grade, tone in _TONES.items()}
    st.dataframe(
        evidence_table(labels, rows).style.map(
            lambda text: _tint(tones.get(text)), subset=[labels("validation.grade")]
        ),
        hide_index=True,
        height="content" if len(rows) <= 16 else 580,
    )
    with st.expander(labels("validation.rules", total=len(report.rules))):
        parts.facts([(f"{one.rule} {one.version}", f"{labels.said(one.text)} ({one.source})") for one in report.rules])
    with st.expander(labels("validation.regimes", total=len(report.regimes))):
        parts.facts(
            [(f"{one.rule} {one.version}", f"{labels.said(one.text)} ({one.source})") for one in report.regimes]
        )
    st.caption(labels.said(report.limits))


def evidence_table(labels: Labels, rows: Sequence[EvidenceRow]) -> pd.DataFrame:
    """One line a row: what, of what, value with its interval, n, grade, rule, note."""
    return pd.DataFrame(
        [
            {
                labels("validation.grade"): labels(f"grade.{row.grade}"),
                labels("validation.statistic"): labels.said(row.statistic),
                labels("validation.of_what"): labels.said(row.of),
                labels("validation.value"): "–" if row.value is None else f"{row.value:.4g}",
                labels("validation.interval"): "–"
                if row.low is None or row.high is None
                else f"{row.low:.4g} – {row.high:.4g}",
                "n": row.n,
                labels("policy.rule"): f"{row.rule} {row.rule_version}",
                labels("validation.note"): labels.said(row.note),
            }
            for row in rows
        ]
    )


def _tint(tone: charts.Tone | None) -> str:
    return f"color: {getattr(parts.palette(), tone)}; font-weight: 600" if tone else ""
