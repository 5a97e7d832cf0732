"""Medical: worklist, image with window and level, report editor beside it. Ignores DICOM: the service renders."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.medical_report import report_panel
from service.client import TriviumClient, UploadedFile
from verticals.medical.schemas import (
    Deidentification,
    ImageFacts,
    IngestRequest,
    ListStudiesRequest,
    Quality,
    RenderRequest,
    StudyRequest,
    StudyResponse,
    WorklistEntry,
)

# Usual CT windows, (centre, width) in Hounsfield units.
CT_WINDOWS = {"soft": (40.0, 400.0), "lung": (-600.0, 1500.0), "bone": (400.0, 1800.0)}
WORKLIST_ROWS = 7  # more are scrolled to
_VERDICT: dict[str, parts.Colour] = {"accept": "green", "warn": "orange", "reject": "red"}


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the page."""
    parts.banner(labels("medical.notice"))
    study_id = _worklist(client, labels)
    if study_id is None:
        return
    study = parts.ask(labels, lambda: client.call("medical", "get_study", StudyRequest(study_id=study_id)))
    if study is None:
        return
    _heading(labels, study)
    left, right = st.columns([6, 5], gap="large")
    with left:
        _viewer(client, labels, study)
        _facts(labels, study)
    with right:
        report_panel(client, labels, study)


def _worklist(client: TriviumClient, labels: Labels) -> str | None:
    """The worklist with the upload above it; returns the study that the reader chose."""
    page = parts.ask(labels, lambda: client.call("medical", "list_studies", ListStudiesRequest()))
    if page is None:
        return None
    if not page.studies:
        parts.empty(labels("medical.no_studies"), labels("medical.no_studies_hint"))
        _upload(client, labels)
        return None
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(labels("medical.worklist", total=page.total), anchor=False, width="content")
        with st.popover(labels("medical.upload"), icon=":material/upload:"):
            _upload(client, labels)
    rows = pd.DataFrame([_row(labels, entry) for entry in page.studies])
    chosen = st.dataframe(
        rows,
        hide_index=True,
        height="content" if len(rows) <= WORKLIST_ROWS else 33 * (WORKLIST_ROWS + 1) + 2,
        on_select="rerun",
        selection_mode="single-row",
        key="medical.worklist",
    )
    picked = chosen.selection.rows
    if picked and picked[0] < len(page.studies):
        st.session_state["medical.study"] = page.studies[picked[0]].study_id
    known = {entry.study_id for entry in page.studies}
    current = st.session_state.get("medical.study")
    return current if current in known else page.studies[0].study_id


def _row(labels: Labels, entry: WorklistEntry) -> dict[str, str]:
    return {
        labels("medical.received"): parts.when(entry.received_at),
        labels("medical.modality"): entry.modality,
        labels("medical.body_part"): entry.body_part,
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
        st.session_state["medical.study"] = study.study_id
        # The old selection would win over the new study.
        st.session_state.pop("medical.worklist", None)
        st.toast(labels("medical.already" if study.already_present else "medical.stored"))
        st.rerun()


def _heading(labels: Labels, study: StudyResponse) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(f"{study.modality} · {study.body_part}", anchor=False, width="content")
        st.badge(labels(f"origin.{study.origin}"), color="gray")
        st.badge(labels(f"verdict.{study.quality.verdict}"), color=_VERDICT[study.quality.verdict])
        st.caption(f"{parts.when(study.received_at)} UTC · `{study.study_id}`", width="content")


# --- image ----------------------------------------------------------------------------------------------------------


def window_range(image: ImageFacts) -> tuple[float, float]:
    """Values that the level may take: those of the image, a little wider, and at least one unit wide."""
    margin = max((image.value_max - image.value_min) * 0.1, 0.5)
    return image.value_min - margin, image.value_max + margin


def _viewer(client: TriviumClient, labels: Labels, study: StudyResponse) -> None:
    place = st.container()
    image, keys = study.image, _keys(study.study_id)
    low, high = window_range(image)
    st.session_state.setdefault(keys["center"], _within(image.window_center, low, high))
    st.session_state.setdefault(keys["width"], _within(image.window_width, 1.0, max(2 * (high - low), 2.0)))
    _presets(labels, study, keys)
    step = 1.0 if high - low > 20 else (high - low) / 100
    left, right = st.columns(2, gap="medium")
    unit = f" ({image.units})" if image.units != "unspecified" else ""
    center = left.slider(labels("medical.level") + unit, low, high, step=step, key=keys["center"], format="%.0f")
    width = right.slider(
        labels("medical.window") + unit, 1.0, max(2 * (high - low), 2.0), step=step, key=keys["width"], format="%.0f"
    )
    frame = 1
    if image.frames > 1:
        frame = st.slider(labels("medical.frame"), 1, image.frames, 1, key=f"medical.frame.{study.study_id}")
    request = RenderRequest(study_id=study.study_id, window_center=center, window_width=width, frame=frame)
    picture = parts.ask(labels, lambda: client.call("medical", "render", request))
    with place:
        if picture is not None:
            st.image(picture.content, width="stretch")


def _within(value: float, low: float, high: float) -> float:
    return float(min(max(value, low), high))


def _keys(study_id: str) -> dict[str, str]:
    return {"center": f"medical.center.{study_id}", "width": f"medical.width.{study_id}"}


def _presets(labels: Labels, study: StudyResponse, keys: dict[str, str]) -> None:
    low, high = window_range(study.image)
    presets = {"file": (study.image.window_center, study.image.window_width)}
    if study.modality == "CT":
        presets |= CT_WINDOWS
    with st.container(horizontal=True, gap="xsmall"):
        for name, (center, width) in presets.items():
            st.button(
                labels(f"window.{name}"),
                key=f"medical.preset.{name}.{study.study_id}",
                on_click=_set_window,
                args=(keys, _within(center, low, high), _within(width, 1.0, max(2 * (high - low), 2.0))),
            )


def _set_window(keys: dict[str, str], center: float, width: float) -> None:
    st.session_state[keys["center"]] = center
    st.session_state[keys["width"]] = width


# --- facts ----------------------------------------------------------------------------------------------------------


def _facts(labels: Labels, study: StudyResponse) -> None:
    image, quality, removed = st.tabs(
        [labels("medical.image"), labels("medical.quality"), labels("medical.deidentified")]
    )
    with image:
        parts.facts(_image_facts(labels, study.image))
    with quality:
        _quality(labels, study.quality)
    with removed:
        _deidentification(labels, study.deidentification)


def _image_facts(labels: Labels, image: ImageFacts) -> list[tuple[str, str]]:
    spacing = (
        f"{image.spacing_mm[0]:.3g} × {image.spacing_mm[1]:.3g} mm"
        if image.spacing_mm
        else labels("medical.no_spacing")
    )
    return [
        (labels("image.size"), f"{image.columns} × {image.rows}"),
        (labels("image.frames"), str(image.frames)),
        (labels("image.spacing"), f"{spacing} ({image.spacing_note})"),
        (labels("image.values"), f"{image.value_min:.0f} … {image.value_max:.0f} ({image.units})"),
        (labels("image.photometric"), f"{image.photometric}, {image.bits_stored} bit"),
        (labels("image.window_source"), labels(f"window_source.{image.window_source}")),
    ]


def _quality(labels: Labels, quality: Quality) -> None:
    for reason in quality.reasons:
        st.markdown(f"- {reason}")
    rows: list[dict[str, Any]] = [
        {
            labels("quality.check"): check.name,
            labels("quality.verdict"): labels(f"verdict.{check.verdict}"),
            labels("quality.value"): check.value,
            labels("quality.warn_at"): check.warn_at,
            labels("quality.reject_at"): check.reject_at,
            labels("quality.reason"): check.reason,
        }
        for check in quality.checks
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True)


def _deidentification(labels: Labels, done: Deidentification) -> None:
    st.caption(done.method)
    parts.facts(
        [
            (labels("deid.removed"), str(done.removed)),
            (labels("deid.emptied"), str(done.emptied)),
            (labels("deid.replaced"), str(done.replaced)),
            (labels("deid.uids"), str(done.uids_replaced)),
            (labels("deid.private"), str(done.private_removed)),
            (labels("deid.kept"), str(done.kept)),
        ]
    )
    for warning in done.warnings:
        st.caption(warning)
    with st.expander(labels("deid.attributes", total=len(done.attributes)), type="compact"):
        st.dataframe(pd.DataFrame([one.model_dump() for one in done.attributes]), hide_index=True, height=240)
