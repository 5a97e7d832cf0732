"""Nodule candidates of a chest CT, on request and labelled as the service labels them. Ignores how they are found."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.medical_viewer import Extra, go_to, place_of_region
from service.client import TriviumClient
from verticals.medical.ct.schemas import NodulesRequest, NodulesResponse
from verticals.medical.schemas import Finding, Region, SeriesEntry, StudyResponse


def candidates(
    client: TriviumClient, labels: Labels, study: StudyResponse, series: SeriesEntry | None
) -> NodulesResponse | None:
    """The candidates of a CT stack, if the reader asks for what is not validated; offers it with what it is."""
    if series is None or series.modality != "CT" or (len(series.instances) == 1 and study.image.frames == 1):
        return None
    asked = st.toggle(labels("nodules.ask"), key=f"medical.nodules.{study.study_id}", help=labels("nodules.ask_help"))
    if not asked:
        return None
    found = parts.ask(
        labels,
        lambda: _nodules(client, client.who, study.study_id, series.series_uid, len(series.instances)),
        waiting=labels("nodules.looking"),
    )
    if found is not None:
        text = f"**{parts.plain(labels.said(found.status.reason))}**"
        st.warning(text if found.validated else f"{text} {labels('nodules.not_in_report')}", icon=":material/science:")
    return found


@st.cache_data(max_entries=8, ttl=300, show_spinner=False)
def _nodules(_client: TriviumClient, who: str, study_id: str, series_uid: str, num_images: int) -> NodulesResponse:
    """Read once for a series of so many images: a stored image never changes."""
    request = NodulesRequest(study_id=study_id, series_uid=series_uid, unvalidated=True)
    found: NodulesResponse = _client.call("medical", "ct_nodules", request)
    return found


def drawn(labels: Labels, study: StudyResponse, found: NodulesResponse | None) -> Extra | None:
    """The candidates' outlines, the chosen one lit."""
    if found is None:
        return None
    pinned = st.session_state.get(_chosen(study))
    regions = [(name(labels, one), "candidate", region) for one in found.evidence.findings for region in one.regions]
    return Extra(regions=regions, pinned=[pinned] if pinned else [])


def listing(labels: Labels, study: StudyResponse, found: NodulesResponse | None) -> None:
    """A row for each candidate; a click goes to the slice where it is largest and lights its outline."""
    if found is None or not found.sizes:
        return
    st.markdown(f"**{labels('nodules.title', count=len(found.sizes))}**")
    key = f"medical.nodules.table.{study.study_id}.{labels.language}"

    def choose() -> None:
        picked = st.session_state[key].selection.rows
        if picked and picked[0] < len(found.sizes):
            finding = found.evidence[found.sizes[picked[0]].finding_id]
            st.session_state[_chosen(study)] = name(labels, finding)
            place = place_of_region(study, largest(finding))
            if place is not None:
                go_to(study, place)

    rows = pd.DataFrame(nodule_rows(labels, found))
    st.dataframe(rows, hide_index=True, on_select=choose, selection_mode="single-row", key=key)
    st.caption(labels("nodules.score_note"))


def nodule_rows(labels: Labels, found: NodulesResponse) -> list[dict[str, Any]]:
    """The candidates as the table shows them."""
    rows = []
    for size in found.sizes:
        finding = found.evidence[size.finding_id]
        rows.append(
            {
                labels("nodules.name"): name(labels, finding),
                labels("nodules.mean"): size.mean_mm,
                labels("nodules.axes"): f"{size.long_mm:g} × {size.short_mm:g}",
                labels("nodules.volume"): size.volume_mm3,
                labels("nodules.zone"): _zone(labels, finding),
                labels("nodules.density"): labels(f"density.{size.density}"),
                labels("nodules.score"): size.score,
            }
        )
    return rows


def name(labels: Labels, finding: Finding) -> str:
    """Apart from the names of the report's findings, which candidates are not."""
    return labels("nodules.candidate", number=finding.finding_id[1:])


def largest(finding: Finding) -> Region:
    """Its region with the largest box."""

    def area(region: Region) -> float:
        left, top, right, bottom = region.box
        return (right - left) * (bottom - top)

    return max(finding.regions, key=area)


def _zone(labels: Labels, finding: Finding) -> str:
    site = labels(f"site.{finding.site}") if finding.site else ""
    return f"{site}, {labels(f'side.{finding.side}')}" if finding.side else site


def _chosen(study: StudyResponse) -> str:
    return f"medical.nodule.{study.study_id}"
