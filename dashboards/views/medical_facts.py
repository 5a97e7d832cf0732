"""What is known about the image beside its pixels: facts, quality, de-identification. Ignores the report."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from verticals.medical.schemas import Deidentification, ImageFacts, Quality, QualityCheck, StudyResponse


def image_facts(labels: Labels, study: StudyResponse) -> None:
    """Draw three tabs."""
    image, quality, removed = st.tabs(
        [labels("medical.image"), labels("medical.quality"), labels("medical.deidentified")]
    )
    with image:
        parts.facts(_facts(labels, study.image))
    with quality:
        _quality(labels, study.quality)
    with removed:
        _deidentification(labels, study.deidentification)


def _facts(labels: Labels, image: ImageFacts) -> list[tuple[str, str]]:
    spacing = (
        f"{image.spacing_mm[0]:.3g} × {image.spacing_mm[1]:.3g} mm"
        if image.spacing_mm
        else labels("medical.no_spacing")
    )
    return [
        (labels("image.size"), f"{image.columns} × {image.rows}"),
        (labels("image.frames"), str(image.frames)),
        (labels("image.spacing"), f"{spacing} ({labels.said(image.spacing_note)})"),
        (labels("image.values"), f"{image.value_min:.0f} … {image.value_max:.0f} ({image.units})"),
        (labels("image.photometric"), f"{image.photometric}, {image.bits_stored} bit"),
        (labels("image.window_source"), labels(f"window_source.{image.window_source}")),
    ]


def _quality(labels: Labels, quality: Quality) -> None:
    for reason in quality.reasons:
        st.markdown(f"- {parts.plain(labels.said(reason))}")
    parts.facts(
        [
            (f"{labels.said(check.name)} · {labels(f'verdict.{check.verdict}')}", _limits(labels, check))
            for check in quality.checks
        ]
    )


def _limits(labels: Labels, check: QualityCheck) -> str:
    limits = labels("quality.limits", warn=f"{check.warn_at:g}", reject=f"{check.reject_at:g}")
    return f"{labels.said(check.reason)} {limits}"


def _deidentification(labels: Labels, done: Deidentification) -> None:
    st.caption(labels.said(done.method))
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
        st.caption(labels.said(warning))
    with st.expander(labels("deid.attributes", total=len(done.attributes)), type="compact"):
        st.dataframe(pd.DataFrame([one.model_dump() for one in done.attributes]), hide_index=True, height=240)
