"""The support console: chat, desk, knowledge, quality. Ignores what each part shows."""

from __future__ import annotations

import streamlit as st

from dashboards.i18n import Labels
from dashboards.views import support_chat, support_desk, support_knowledge, support_quality
from service.client import TriviumClient

PARTS = {
    "chat": support_chat.render,
    "desk": support_desk.render,
    "knowledge": support_knowledge.render,
    "quality": support_quality.render,
}


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the chosen part; only that one asks the API."""
    chosen = st.segmented_control(
        labels("support.part"),
        list(PARTS),
        default="chat",
        required=True,
        format_func=lambda name: labels(f"support.{name}"),
        label_visibility="collapsed",
        key="support.part",
        persist_state="session",
    )
    PARTS[chosen or "chat"](client, labels)
