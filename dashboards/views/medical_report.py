"""The report beside the image: edit, sign, add to, export. Ignores the image; the service decides what is allowed."""

from __future__ import annotations

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.medical_record import record_panel
from dashboards.views.medical_text import LINKED, linked_text
from service.client import Artifact, TriviumClient
from verticals.medical.reading_schemas import PixelsResponse
from verticals.medical.schemas import (
    AddendumRequest,
    EditReportRequest,
    ExportReportRequest,
    ReportResponse,
    Sections,
    SignReportRequest,
    StudyResponse,
)

SIGNED = ("FINAL", "AMENDED")
_HEIGHTS = {"examination": 72, "technique": 120, "comparison": 72, "findings": 190, "impression": 120}


def report_panel(client: TriviumClient, labels: Labels, study: StudyResponse, *, shown: PixelsResponse | None) -> None:
    """Draw the newest version of the study's report with what may be done to it now.

    Args:
        shown: The frame beside it, which its sentences point at; None: none, or none of one study alone.
    """
    report: ReportResponse = study.report
    signed = report.state in SIGNED
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(labels("medical.report"), anchor=False, width="content")
        st.badge(labels(f"report.{report.state}"), color="green" if signed else "gray")
        st.caption(labels("report.version", version=report.version), width="content")
    _findings(labels, report)
    with st.container(border=True):
        linked_text(labels, study, shown, sections=list(_HEIGHTS) if signed else LINKED)
        st.caption(labels("report.linked_hint"))
    if signed:
        _signed(client, labels, report)
    else:
        if client.may("medical.edit_report"):
            _editor(client, labels, report)
        if client.may("medical.sign_report"):
            _sign(client, labels, report)
    record_panel(client, labels, study, editor_key=None if signed else _typed(report, "examination"))
    if client.may("medical.export_report"):
        _exports(client, labels, report)


def _findings(labels: Labels, report: ReportResponse) -> None:
    status = report.findings_status
    if status.status == "applied":
        title = labels("report.model", model=status.model or "")
    else:
        title = labels("report.no_model")
    st.info(f"**{parts.plain(title)}** {parts.plain(labels.said(status.reason))}", icon=":material/info:")


def _editor(client: TriviumClient, labels: Labels, report: ReportResponse) -> None:
    # The keys carry the version: a new version shows its own text, not what was typed before.
    with st.form(f"report.{report.report_id}.{report.version}", border=False):
        typed = {
            name: st.text_area(
                labels(f"section.{name}"),
                value=getattr(report.sections, name),
                height=height,
                key=_typed(report, name),
            )
            for name, height in _HEIGHTS.items()
        }
        left, right = st.columns([1, 3], vertical_alignment="center")
        saved = left.form_submit_button(labels("report.save"), type="primary")
        if report.blanks:
            right.caption(labels("report.blanks", blanks=report.blanks))
    if saved:
        request = EditReportRequest.model_construct(
            report_id=report.report_id, sections=Sections.model_construct(**typed), expected_version=report.version
        )
        if parts.ask(labels, lambda: client.call("medical", "edit_report", request)) is not None:
            st.toast(labels("report.saved"))
            st.rerun()


def _typed(report: ReportResponse, section: str) -> str:
    """Session key of a section in the editor."""
    return f"report.{report.report_id}.{report.version}.{section}"


def _sign(client: TriviumClient, labels: Labels, report: ReportResponse) -> None:
    with st.form(f"sign.{report.report_id}"):
        st.markdown(f"**{labels('report.sign')}**")
        signer = st.text_input(labels("report.signer"), max_chars=64)
        attest = st.checkbox(labels("report.attest"))
        sent = st.form_submit_button(labels("report.sign"))
        st.caption(labels("report.sign_hint"))
    if sent:
        request = SignReportRequest.model_construct(
            report_id=report.report_id, signer=signer.strip(), attest=attest, expected_version=report.version
        )
        if parts.ask(labels, lambda: client.call("medical", "sign_report", request)) is not None:
            st.toast(labels("report.signed"))
            st.rerun()


def _signed(client: TriviumClient, labels: Labels, report: ReportResponse) -> None:
    moment = parts.when(report.signed_at) if report.signed_at else ""
    st.caption(labels("report.signed_by", signer=report.signer or "", moment=moment))
    st.caption(f"sha256 `{report.content_sha256[:16]}…`")
    for addendum in report.addenda:
        with st.container(border=True):
            st.caption(labels("report.addendum_by", author=addendum.author, moment=parts.when(addendum.added_at)))
            st.text(addendum.text)
    if not client.may("medical.add_addendum"):
        return
    with st.expander(labels("report.addendum")), st.form(f"addendum.{report.report_id}", border=False):
        author = st.text_input(labels("report.author"), max_chars=64)
        text = st.text_area(labels("report.addendum_text"), height=100)
        sent = st.form_submit_button(labels("report.addendum_send"))
    if sent:
        request = AddendumRequest.model_construct(report_id=report.report_id, author=author.strip(), text=text.strip())
        if parts.ask(labels, lambda: client.call("medical", "add_addendum", request)) is not None:
            st.toast(labels("report.addendum_added"))
            st.rerun()


def _exports(client: TriviumClient, labels: Labels, report: ReportResponse) -> None:
    """The formats; a file is made when its format is chosen, since each export is a row of the audit trail."""
    kind = st.pills(
        labels("report.export"),
        formats(report),
        format_func=lambda one: labels(f"export.{one}"),
        key=f"export.{report.report_id}.{report.version}",
        wrap=True,
    )
    if kind is None:
        return
    file = parts.ask(labels, lambda: _export(client, client.who, report.report_id, report.content_sha256, kind))
    if file is not None:
        st.download_button(
            labels("report.download", name=file.filename),
            file.content,
            file_name=file.filename,
            mime=file.media_type,
            icon=":material/download:",
            on_click="ignore",
        )


def formats(report: ReportResponse) -> list[str]:
    """The formats that this version has: those that draw regions need one."""
    has_regions = any(finding.regions for finding in report.evidence.findings)
    return [
        *("sr", "pdf", "fhir", "text"),
        *(("seg", "gsps", "ko", "sc") if has_regions else ()),
        *(("all",) if report.evidence.findings else ()),
    ]


@st.cache_data(max_entries=64, show_spinner=False)
def _export(_client: TriviumClient, who: str, report_id: str, content_sha256: str, kind: str) -> Artifact:
    """One export; the same content gives the same file, so it is made once."""
    request = ExportReportRequest.model_validate({"report_id": report_id, "format": kind})
    found: Artifact = _client.call("medical", "export_report", request)
    return found
