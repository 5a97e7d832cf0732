"""The support console: chat, desk, knowledge, quality. Ignores what each part shows."""

from __future__ import annotations

import streamlit as st

from dashboards.i18n import Labels
from dashboards.views import support_chat, support_desk, support_knowledge, support_quality
from service.client import TriviumClient

PARTS = {  # with the operation that it is for
    "chat": ("send_message", support_chat.render),
    "desk": ("list_handoffs", support_desk.render),
    "knowledge": ("search", support_knowledge.render),
    "quality": ("quality", support_quality.render),
}


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the chosen part; only that one asks the API."""
    names = [name for name, (operation, _) in PARTS.items() if client.may(f"support.{operation}")]
    if not names:
        st.info(labels("login.nothing"), icon=":material/lock:")
        return
    chosen = st.segmented_control(
        labels("support.part"),
        names,
        default=names[0],
        required=True,
        format_func=lambda name: labels(f"support.{name}"),
        label_visibility="collapsed",
        key="support.part",
        persist_state="session",
    )
    PARTS[chosen or names[0]][1](client, labels)
