"""The image: which frame, its windows, and where its findings lie. Ignores how it is drawn (components/viewer.js)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboards import parts
from dashboards.components import component
from dashboards.i18n import Labels
from service.client import Artifact, TriviumClient
from verticals.medical.chest.schemas import AttentionRequest
from verticals.medical.fundus.schemas import VesselMask
from verticals.medical.reading_schemas import PixelsRequest, PixelsResponse
from verticals.medical.schemas import ImageFacts, Region, ReportResponse, SeriesEntry, StudyResponse

# Usual CT windows, (centre, width) in Hounsfield units.
CT_WINDOWS = {
    "soft": (40.0, 400.0),
    "lung": (-600.0, 1500.0),
    "mediastinum": (50.0, 350.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
}
FILMS = ("CR", "DX")  # the heatmap is of these
_TEXTS = (
    *("window", "pan", "measure", "fit", "clear", "boxes", "outlines", "mask", "names", "level", "width", "image"),
    *("closer", "further", "loading", "heatmap_note", "vessels"),
)
Place = tuple[str | None, int]  # (instance id; None: the one that the draft was made from, frame)


@dataclass(frozen=True)
class Extra:
    """What is drawn over the image beside the report's regions.

    Attributes:
        regions: Of a name, a tone of components/viewer.js, and where they lie.
        pinned: Names of regions that are lit at first.
        vessels: A mask over the image.
    """

    regions: Sequence[tuple[str, str, Region]] = ()
    pinned: Sequence[str] = ()
    vessels: VesselMask | None = None


def viewer(
    client: TriviumClient,
    labels: Labels,
    study: StudyResponse,
    place: Place,
    *,
    side: str = "main",
    extra: Extra | None = None,
) -> PixelsResponse | None:
    """Draw the image at this place with its controls; returns the frame that is shown."""
    frame = parts.ask(labels, lambda: _pixels(client, client.who, study.study_id, *place))
    if frame is None:
        return None
    heatmap = _heatmap(client, labels, study, place[0]) if side == "main" else None
    component("viewer")(
        data=viewer_data(labels, study, frame, side=side, heatmap=heatmap, extra=extra or Extra()),
        key=f"medical.viewer.{side}.{study.study_id}",
    )
    return frame


# --- which frame ----------------------------------------------------------------------------------------------------


def places(series: SeriesEntry | None, image: ImageFacts) -> list[Place]:
    """Every frame to scroll through: the images of a series, or the frames of the one image."""
    if series is None or len(series.instances) <= 1:
        only = series.instances[0] if series and series.instances else None
        return [(only, frame) for frame in range(1, image.frames + 1)]
    return [(instance, 1) for instance in series.instances]


def place_of(study: StudyResponse, finding_id: str) -> tuple[int, int] | None:
    """(series, place in it), both from 0, of the finding's first region; None: it has none in this study."""
    regions = next((f.regions for f in study.report.evidence.findings if f.finding_id == finding_id), ())
    return next((found for region in regions if (found := place_of_region(study, region))), None)


def place_of_region(study: StudyResponse, region: Region) -> tuple[int, int] | None:
    """(series, place in it), both from 0; None: the region is of no image of this study."""
    for i, series in enumerate(study.series):
        if region.sop_instance_uid in series.sop_instance_uids:
            is_stack = len(series.instances) > 1
            return i, series.sop_instance_uids.index(region.sop_instance_uid) if is_stack else region.frame - 1
    return None


def keys(study_id: str, side: str) -> tuple[str, str]:
    """Session keys of the chosen series and of the place in it."""
    return f"medical.series.{side}.{study_id}", f"medical.place.{side}.{study_id}"


def go_to(study: StudyResponse, found: tuple[int, int]) -> None:
    """Show this place of `place_of` with the next run of the page."""
    series_key, place_key = keys(study.study_id, "main")
    st.session_state[series_key], st.session_state[place_key] = found[0], found[1] + 1


def choose_place(labels: Labels, study: StudyResponse, *, side: str = "main") -> tuple[SeriesEntry | None, Place]:
    """The series and the frame that the reader chose, with what they choose by."""
    series_key, place_key = keys(study.study_id, side)
    holds = [i for i, series in enumerate(study.series) if study.drafted_from in series.instances]
    st.session_state.setdefault(series_key, holds[0] if holds else 0)
    chosen = 0
    if len(study.series) > 1:
        chosen = st.selectbox(
            labels("medical.series"),
            range(len(study.series)),
            format_func=lambda i: _series_name(labels, study.series[i]),
            key=series_key,
        )
    series = study.series[chosen] if study.series else None
    known = places(series, study.image)
    if len(known) == 1:
        return series, known[0]
    drafted = [i for i, (instance, _) in enumerate(known) if instance == study.drafted_from]
    start = drafted[0] if drafted and series and len(series.instances) > 1 else len(known) // 2
    st.session_state[place_key] = min(st.session_state.get(place_key, start + 1), len(known))
    number = st.slider(labels("medical.frame"), 1, len(known), key=place_key)
    return series, known[number - 1]


def _series_name(labels: Labels, series: SeriesEntry) -> str:
    number = "" if series.series_number is None else f"{series.series_number} · "
    return f"{number}{series.modality} {series.body_part} · {labels('medical.num_images', count=len(series.instances))}"


@st.cache_data(max_entries=24, show_spinner=False)
def _pixels(_client: TriviumClient, who: str, study_id: str, instance_id: str | None, frame: int) -> PixelsResponse:
    """One frame; a stored image never changes, so it is asked for once. `who` is a part of the cache's key."""
    request = PixelsRequest(study_id=study_id, instance_id=instance_id, frame=frame)
    found: PixelsResponse = _client.call("medical", "pixels", request)
    return found


# --- what is drawn --------------------------------------------------------------------------------------------------


def viewer_data(
    labels: Labels,
    study: StudyResponse,
    frame: PixelsResponse,
    *,
    side: str = "main",
    heatmap: bytes | None = None,
    extra: Extra = Extra(),
) -> dict[str, Any]:
    """All that components/viewer.js needs, as JSON has it."""
    image = frame.image
    margin = max((image.value_max - image.value_min) * 0.1, 0.5)
    low, high = image.value_min - margin, image.value_max + margin
    spacing = image.spacing_mm
    return {
        "view": f"{side}.{study.study_id}",
        "frame_key": f"{frame.instance_id}.{frame.frame}",
        "png": frame.png,
        "heatmap": base64.b64encode(heatmap).decode() if heatmap else None,
        "rows": frame.rows,
        "columns": frame.columns,
        "reduced_by": frame.reduced_by,
        "low": frame.low,
        "step": frame.step,
        "is_inverted": frame.is_inverted,
        "is_colour": frame.is_colour,
        "curve": frame.curve,
        "units": "" if image.units == "unspecified" else image.units,
        "presets": presets(labels, study.modality, image),
        "range": {"center": [low, high], "width": [1.0, max(2 * (high - low), 2.0)]},
        "caliper": {
            "spacing_mm": list(spacing) if spacing else None,
            "aspect": spacing[0] / spacing[1] if spacing else 1.0,
            "note": labels("viewer.can_measure" if spacing else "viewer.cannot_measure")
            + f" {labels.said(image.spacing_note)}",
        },
        "regions": [*regions(labels, study.report, frame), *_drawn(extra, frame)],
        "pinned": list(extra.pinned),
        "vessels": extra.vessels.model_dump() if extra.vessels else None,
        "labels": _texts(labels, reduced_by=frame.reduced_by),
    }


def picture_data(labels: Labels, key: str, png: bytes, *, regions: list[dict[str, Any]]) -> dict[str, Any]:
    """The same for a picture that is shown as it is: no windows, no measuring."""
    columns, rows = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # PNG 11.2.1
    window = {"name": "file", "label": labels("window.file"), "center": 128.0, "width": 256.0, "is_curve": False}
    return {
        "view": key, "frame_key": key, "png": base64.b64encode(png).decode(), "heatmap": None,
        "rows": rows, "columns": columns, "reduced_by": 1, "low": 0.0, "step": 1.0, "units": "", "curve": None,
        "is_inverted": False, "is_colour": True, "presets": [window],
        "range": {"center": [0.0, 255.0], "width": [1.0, 512.0]},
        "caliper": {"spacing_mm": None, "aspect": 1.0, "note": labels("viewer.cannot_measure")},
        "regions": regions, "pinned": [], "vessels": None, "labels": _texts(labels, reduced_by=1),
    }  # fmt: skip


def _texts(labels: Labels, *, reduced_by: int) -> dict[str, str]:
    told = {name: labels(f"viewer.{name}") for name in _TEXTS}
    return told | {"reduced": labels("viewer.reduced", times=reduced_by)}


def presets(labels: Labels, modality: str, image: ImageFacts) -> list[dict[str, Any]]:
    """Windows to choose from: the file's own first, then those of the modality."""
    center, width = image.window_center, image.window_width
    spread = image.value_max - image.value_min
    windows = {"file": (center, width)}
    if modality == "CT" and image.units == "HU":
        windows |= CT_WINDOWS
    else:
        windows |= {
            "hard": (center, max(width / 2, 1.0)),
            "flat": (center, width * 2),
            "full": ((image.value_min + image.value_max + 1) / 2, max(spread + 1, 1.0)),
        }
    return [
        {
            "name": name,
            "label": labels(f"window.{name}"),
            "center": middle,
            "width": wide,
            "is_curve": name == "file" and image.window_source == "voi-lut",
        }
        for name, (middle, wide) in windows.items()
    ]


def regions(labels: Labels, report: ReportResponse, frame: PixelsResponse) -> list[dict[str, Any]]:
    """The regions of the evidence that lie in this frame."""
    return [
        {
            "finding_id": finding.finding_id,
            "label": f"{finding.finding_id} {place_name(labels, finding.kind, finding.side)}",
            "shape": region.shape,
            "points": [list(point) for point in region.points],
            "presence": finding.presence,
            "tone": "reader" if finding.model == "reader" else "model",
        }
        for finding in report.evidence.findings
        for region in finding.regions
        if (region.sop_instance_uid, region.frame) == (frame.sop_instance_uid, frame.frame)
    ]


def _drawn(extra: Extra, frame: PixelsResponse) -> list[dict[str, Any]]:
    """The extra regions that lie in this frame; none of them is a finding of the report."""
    here = (frame.sop_instance_uid, frame.frame)
    return [
        {
            "finding_id": name, "label": name, "tone": tone, "presence": "uncertain",
            "shape": region.shape, "points": [list(point) for point in region.points],
        }
        for name, tone, region in extra.regions
        if (region.sop_instance_uid, region.frame) == here
    ]  # fmt: skip


def place_name(labels: Labels, kind: str, side: str | None) -> str:
    """A finding's kind with its side."""
    name = labels(f"kind.{kind}")
    return f"{name}, {labels(f'side.{side}')}" if side else name


# --- heatmap --------------------------------------------------------------------------------------------------------


def _heatmap(client: TriviumClient, labels: Labels, study: StudyResponse, instance_id: str | None) -> bytes | None:
    """Where the model looked in a film, if one has read it and the reader asks for it."""
    if study.modality not in FILMS or study.report.findings_status.status != "applied":
        return None
    if not st.toggle(labels("viewer.heatmap"), key=f"medical.heatmap.{study.study_id}"):
        return None
    waiting = labels("viewer.loading")
    return parts.ask(labels, lambda: _attention(client, client.who, study.study_id, instance_id), waiting=waiting)


@st.cache_data(max_entries=8, show_spinner=False)
def _attention(_client: TriviumClient, who: str, study_id: str, instance_id: str | None) -> bytes:
    found: Artifact = _client.call("medical", "attention", AttentionRequest(study_id=study_id, instance_id=instance_id))
    return found.content
