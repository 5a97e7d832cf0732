"""Medical: worklist, image, report editor beside it, a prior; what was held; drift; few-shot studio. Ignores DICOM."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views import medical_eye, medical_nodules
from dashboards.views.medical_calculators import calculators
from dashboards.views.medical_drift import drift
from dashboards.views.medical_facts import image_facts
from dashboards.views.medical_few_shot import own_findings, studio
from dashboards.views.medical_held import held
from dashboards.views.medical_report import report_panel
from dashboards.views.medical_viewer import choose_place, viewer
from dashboards.views.medical_worklist import STUDY, next_open, worklist
from service.client import TriviumClient
from verticals.medical.reading_schemas import PixelsResponse, PriorRequest, PriorResponse
from verticals.medical.schemas import StudyRequest, StudyResponse

_VERDICT: dict[str, parts.Colour] = {"accept": "green", "warn": "orange", "reject": "red"}


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the page."""
    parts.banner(labels("medical.notice"))
    names = [name for name, (operation, _) in TABS.items() if client.may(f"medical.{operation}")]
    for name, tab in zip(names, parts.tabs(labels, "medical", names), strict=True):
        if tab.open:
            with tab:
                TABS[name][1](client, labels)


def _read(client: TriviumClient, labels: Labels) -> None:
    study_id = worklist(client, labels)
    if study_id is None:
        return
    study = parts.ask(labels, lambda: client.call("medical", "get_study", StudyRequest(study_id=study_id)))
    if study is None:
        return
    _heading(client, labels, study)
    prior = _prior(client, labels, study)
    if prior is not None:
        _side_by_side(client, labels, study, prior)
        report_panel(client, labels, study, shown=None)
        image_facts(labels, study)
        return
    left, right = st.columns([6, 5], gap="large")
    with left:
        shown = _image(client, labels, study)
        image_facts(labels, study)
        own_findings(client, labels, study.study_id)
    with right:
        report_panel(client, labels, study, shown=shown)


def _image(client: TriviumClient, labels: Labels, study: StudyResponse) -> PixelsResponse | None:
    """The image with what lies over it, and under it what can be said of its kind alone; returns the shown frame."""
    series, place = choose_place(labels, study)
    nodules = medical_nodules.candidates(client, labels, study, series)
    eye = medical_eye.steps(client, labels, study, place)
    extra = medical_nodules.drawn(labels, study, nodules) or medical_eye.over(labels, eye)
    shown = viewer(client, labels, study, place, extra=extra)
    medical_nodules.listing(labels, study, nodules)
    medical_eye.listing(labels, eye)
    if study.modality == "CT":
        calculators(client, labels, key=study.study_id)
    return shown


def _heading(client: TriviumClient, labels: Labels, study: StudyResponse) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(f"{study.modality} · {study.body_part}", anchor=False, width="content")
        st.badge(labels(f"origin.{study.origin}"), color="gray")
        st.badge(labels(f"verdict.{study.quality.verdict}"), color=_VERDICT[study.quality.verdict])
        st.caption(f"{parts.when(study.received_at)} UTC · `{study.study_id}`", width="content")
        if st.button(labels("medical.next"), icon=":material/arrow_forward:", type="tertiary"):
            found = parts.ask(labels, lambda: next_open(client, study.study_id))
            if found is None:
                st.toast(labels("medical.no_next"))
            else:
                st.session_state[STUDY] = found
                st.rerun()
    if study.num_after_editing:
        st.warning(labels("medical.after_editing", count=study.num_after_editing), icon=":material/info:")
    if study.num_after_signing:
        st.warning(labels("medical.after_signing", count=study.num_after_signing), icon=":material/info:")


# --- prior ----------------------------------------------------------------------------------------------------------


def _prior(client: TriviumClient, labels: Labels, study: StudyResponse) -> StudyResponse | None:
    """The stored study to compare with, if there is one and the reader asks for it."""
    found: PriorResponse | None = parts.ask(
        labels, lambda: client.call("medical", "prior", PriorRequest(study_id=study.study_id))
    )
    if found is None:
        return None
    prior_id = found.study_id
    if prior_id is None:
        st.caption(f"{labels('medical.no_prior')} {labels.said(found.reason)}")
        return None
    date = _day(found.study_date) or (parts.when(found.received_at) if found.received_at else "")
    if not st.toggle(labels("medical.compare", modality=found.modality, date=date), key=f"medical.compare.{prior_id}"):
        return None
    return parts.ask(labels, lambda: client.call("medical", "get_study", StudyRequest(study_id=prior_id)))


def _side_by_side(client: TriviumClient, labels: Labels, study: StudyResponse, prior: StudyResponse) -> None:
    for column, one, side in zip(st.columns(2, gap="medium"), (study, prior), ("main", "prior"), strict=True):
        with column:
            date = _day(one.study_date) or parts.when(one.received_at)
            st.caption(f"**{labels(f'medical.{side}')}** · {one.modality} · {date}")
            _, place = choose_place(labels, one, side=side)
            viewer(client, labels, one, place, side=side)
            if side == "prior":
                st.caption(f"{labels('section.impression')} ({labels(f'report.{one.report.state}')})")
                st.text(one.report.sections.impression)


def _day(date: str | None) -> str:
    """A DICOM date for people; dates were moved by the patient's secret number of days, so only distances count."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""


TABS: Mapping[str, tuple[str, Callable[[TriviumClient, Labels], None]]] = {  # with the operation that it is for
    "read": ("list_studies", _read),
    "held": ("list_held", held),
    "drift": ("watch", drift),
    "few_shot": ("list_few_shot", studio),
}
