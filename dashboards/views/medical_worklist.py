"""The worklist: a page at a time, the most urgent first, each with the reason; and the upload. Ignores the image."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient, UploadedFile
from verticals.medical.reading_schemas import WorklistEntry, WorklistResponse
from verticals.medical.schemas import IngestRequest, ListStudiesRequest

ROWS = 25  # of one page: the service sorts and counts, however many there are
SHOWN_ROWS = 7  # more are scrolled to
STUDY, PAGE = "medical.study", "medical.page"
_TONES = {"critical": "bad", "urgent": "doubt", "soon": "accent"}


def worklist(client: TriviumClient, labels: Labels) -> str | None:
    """Draw it; returns the study that the reader chose, or else the first of the page."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        title = st.empty()
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            order = st.segmented_control(
                labels("medical.order"),
                ["urgency", "newest"],
                default="urgency",
                required=True,
                format_func=lambda one: labels(f"order.{one}"),
                key="medical.order",
                label_visibility="collapsed",
                on_change=_first_page,
            )
            is_all = st.toggle(labels("medical.with_signed"), key="medical.with_signed", on_change=_first_page)
            if client.may("medical.ingest_study"):
                with st.popover(labels("medical.upload"), icon=":material/upload:"):
                    _upload(client, labels)
    request = ListStudiesRequest(
        limit=ROWS,
        offset=parts.offset(PAGE, ROWS),
        order=order,
        reports="all" if is_all else "open",
    )
    page = parts.ask(labels, lambda: client.call("medical", "list_studies", request))
    if page is None:
        return None
    if page.total and not page.studies:  # the last studies of the last page were signed
        _first_page()
        st.rerun()
    title.subheader(labels("medical.worklist", total=page.total), anchor=False, width="content")
    if not page.studies:
        parts.empty(labels("medical.no_studies"), labels("medical.no_studies_hint"))
        kept: str | None = st.session_state.get(STUDY)
        return kept
    _table(labels, page)
    parts.pager(page.total, key=PAGE, size=ROWS)
    return _opened(page)


def _opened(page: WorklistResponse) -> str:
    """The study that is open: the chosen one, or else the first of the page."""
    return str(st.session_state.get(STUDY, page.studies[0].study_id))


def next_open(client: TriviumClient, study_id: str) -> str | None:
    """The most urgent open study other than this one."""
    request = ListStudiesRequest(limit=2, order="urgency", reports="open")
    page: WorklistResponse = client.call("medical", "list_studies", request)
    return next((entry.study_id for entry in page.studies if entry.study_id != study_id), None)


def _first_page() -> None:
    st.session_state[PAGE] = 1


def _table(labels: Labels, page: WorklistResponse) -> None:
    rows = pd.DataFrame([_row(labels, entry) for entry in page.studies])
    colours = parts.palette()
    tones = [getattr(colours, _TONES.get(entry.urgency, "muted")) for entry in page.studies]
    # A key for each page and language: a row number means another study on another page.
    key = f"medical.worklist.{page.offset}.{labels.language}"

    def choose() -> None:
        picked = st.session_state[key].selection.rows
        if picked and picked[0] < len(page.studies):
            st.session_state[STUDY] = page.studies[picked[0]].study_id

    opened = [entry.study_id == _opened(page) for entry in page.studies]
    st.dataframe(
        rows.style.apply(
            lambda row: [f"background-color: {colours.faint}" if opened[int(str(row.name))] else ""] * len(row), axis=1
        ).apply(
            lambda column: [f"color: {tone}; font-weight: 600" for tone in tones], subset=[labels("medical.urgency")]
        ),
        hide_index=True,
        height="content" if len(rows) <= SHOWN_ROWS else 33 * (SHOWN_ROWS + 1) + 2,
        column_config={labels("medical.reason"): st.column_config.TextColumn(width="large")},
        on_select=choose,
        selection_mode="single-row",
        key=key,
    )


def _row(labels: Labels, entry: WorklistEntry) -> dict[str, object]:
    return {
        labels("medical.urgency"): labels(f"urgency.{entry.urgency}"),
        labels("medical.reason"): labels.said(entry.urgency_reason),
        labels("medical.modality"): entry.modality,
        labels("medical.body_part"): entry.body_part,
        labels("medical.images"): entry.num_instances,
        labels("medical.received"): parts.when(entry.received_at),
        labels("medical.quality"): labels(f"verdict.{entry.quality}"),
        labels("medical.report"): labels(f"report.{entry.report_state}"),
        labels("medical.origin"): labels(f"origin.{entry.origin}"),
    }


def _upload(client: TriviumClient, labels: Labels) -> None:
    with st.form("medical.upload", clear_on_submit=True, border=False):
        file = st.file_uploader(labels("medical.file"), help=labels("medical.upload_help"))
        synthetic = st.checkbox(labels("medical.synthetic"), help=labels("medical.synthetic_help"))
        sent = st.form_submit_button(labels("medical.upload_send"), type="primary")
    if not sent:
        return
    if file is None:
        st.info(labels("medical.upload_missing"))
        return
    upload = UploadedFile(filename=file.name, content=file.getvalue(), media_type="application/dicom")
    request = IngestRequest(file=upload, origin="synthetic" if synthetic else "upload")
    waiting = labels("medical.reading")
    study = parts.ask(labels, lambda: client.call("medical", "ingest_study", request), waiting=waiting)
    if study is not None:
        st.session_state[STUDY] = study.study_id
        st.toast(labels("medical.already" if study.already_present else "medical.stored"))
        st.rerun()
