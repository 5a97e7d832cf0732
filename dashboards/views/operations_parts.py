"""What both operations views name and draw: subjects of signals, the experts' map. Ignores alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboards import operations_charts as charts
from dashboards import parts
from dashboards.i18n import Labels


def vertical_name(labels: Labels, name: str) -> str:
    """A vertical's name, or the service's."""
    return labels.get(f"nav.{name}", labels.get(f"operations.vertical.{name}", name))


def subject_name(labels: Labels, subject: str) -> str:
    """What a signal is of: a vertical, and perhaps what is counted there."""
    vertical, _, name = subject.partition("/")
    if not name:
        return labels.get(f"operations.subject.{subject}", vertical_name(labels, subject))
    of = labels.get(f"operations.subject.{name}", labels.get(f"field.{name}", name))
    return f"{vertical_name(labels, vertical)} · {of}"


def expert_map(labels: Labels, counts: Mapping[str, Sequence[int]]) -> None:
    """The heatmap of counts by layer."""
    words = {name: labels(f"operations.experts.{name}") for name in ("expert", "layer", "load")}
    st.altair_chart(charts.heatmap(counts, palette=parts.palette(), **words), width="stretch", theme=None)
