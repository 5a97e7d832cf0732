"""How a fundus photograph was read, step by step, with disc, fovea and vessels over it. Ignores how the steps work."""

from __future__ import annotations

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.medical_viewer import Extra, Place
from service.client import TriviumClient
from verticals.medical.fundus.schemas import FundusStepsRequest, FundusStepsResponse
from verticals.medical.schemas import StudyResponse

_ICONS = {
    "passed": ":material/check_circle:",
    "refused": ":material/block:",
    "not reached": ":material/more_horiz:",
    "no validated model": ":material/science:",
}


def steps(client: TriviumClient, labels: Labels, study: StudyResponse, place: Place) -> FundusStepsResponse | None:
    """The reading of the photograph that is shown, if it is one in colour."""
    if study.modality != "OP" or study.image.photometric != "RGB":
        return None
    waiting = labels("viewer.loading")
    return parts.ask(labels, lambda: _steps(client, client.who, study.study_id, place[0]), waiting=waiting)


@st.cache_data(max_entries=16, ttl=300, show_spinner=False)
def _steps(_client: TriviumClient, who: str, study_id: str, instance_id: str | None) -> FundusStepsResponse:
    found: FundusStepsResponse = _client.call(
        "medical", "fundus_steps", FundusStepsRequest(study_id=study_id, instance_id=instance_id)
    )
    return found


def over(labels: Labels, found: FundusStepsResponse | None) -> Extra | None:
    """Disc, fovea and vessels."""
    if found is None:
        return None
    places = {"disc": found.disc, "fovea": found.fovea}
    regions = [(labels(f"eye.{name}"), "landmark", region) for name, region in places.items() if region is not None]
    return Extra(regions=regions, vessels=found.vessels)


def listing(labels: Labels, found: FundusStepsResponse | None) -> None:
    """The steps in their order, each with what it measured or why it refused."""
    if found is None:
        return
    st.markdown(f"**{labels('eye.steps')}**")
    for step in found.steps:
        told = f"**{labels(f'eye.{step.name}')}** · {labels(f'eye.{step.state}')}"
        st.markdown(f"{_ICONS[step.state]} {told}  \n{parts.plain(labels.said(step.reason))}")
    st.caption(f"{parts.plain(found.model)}")
