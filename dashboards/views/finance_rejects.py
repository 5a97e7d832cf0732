"""Finance: methods of reject inference on an uploaded file, beside each other with their caveats. Ignores how."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient, UploadedFile
from verticals.finance.validation.schemas import RejectInferenceReport, RejectInferenceRequest


def reject_inference(client: TriviumClient, labels: Labels) -> None:
    """The upload and its table, folded away."""
    with st.expander(labels("rejects.title"), icon=":material/person_off:"):
        st.caption(labels("rejects.what"))
        with st.form("rejects.form", border=False):
            file = st.file_uploader(labels("batch.file"), type=["csv"], key="rejects.file")
            prudence = st.slider(
                labels("rejects.prudence"),
                1.0,
                5.0,
                1.0,
                step=0.25,
                key="rejects.prudence",
                help=labels("rejects.help"),
            )
            sent = st.form_submit_button(labels("rejects.send"))
        if sent and file is None:
            st.info(labels("batch.missing"))
        elif sent and file is not None:
            upload = UploadedFile(filename=file.name, content=file.getvalue(), media_type="text/csv")
            request = RejectInferenceRequest(file=upload, prudence=prudence)
            question = partial(client.call, "finance", "reject_inference", request)
            st.session_state["rejects.report"] = parts.ask(labels, question, waiting=labels("validation.waiting"))
        if (report := st.session_state.get("rejects.report")) is not None:
            _report(labels, report)


def _report(labels: Labels, report: RejectInferenceReport) -> None:
    st.caption(
        labels(
            "rejects.of",
            accepted=report.num_accepted,
            bad=report.num_bad,
            declined=report.num_rejected,
            unknown=report.num_unknown,
            prudence=report.prudence,
        )
    )
    st.dataframe(method_table(labels, report), hide_index=True)
    notes = [f"- **{labels.said(one.method)}**: {parts.plain(labels.said(one.note))}" for one in report.methods]
    st.markdown("\n".join([*notes, *(f"- {parts.plain(labels.said(caveat))}" for caveat in report.caveats)]))


def method_table(labels: Labels, report: RejectInferenceReport) -> pd.DataFrame:
    """One line a method, one column a figure with its interval."""
    table: dict[str, dict[str, str]] = {one.method: {} for one in report.methods}
    for row in report.rows:
        value = "–" if row.value is None else f"{row.value:.3f}"
        held = "" if row.low is None or row.high is None else f" ({row.low:.3f} – {row.high:.3f})"
        table[row.of][labels.said(row.statistic)] = value + held
    lines = [{labels("rejects.method"): labels.said(name)} | figures for name, figures in table.items()]
    return pd.DataFrame(lines).fillna("")
