"""Home: what this is, whether each part is well, where to click, what to try. Ignores the verticals' details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.evaluation import run_state
from service.client import ApiError, TriviumClient

TRY = {"finance": 3, "medical": 3, "support": 3}  # vertical -> how many hints the label table holds


def render(client: TriviumClient, labels: Labels, pages: Mapping[str, Any]) -> None:
    """Draw the page.

    Args:
        client: The API.
        labels: Texts in the reader's language.
        pages: Name of a view -> its Streamlit page, to link to.
    """
    st.markdown(labels("home.what"))
    if not pages:
        st.info(labels("login.no_role"), icon=":material/lock:")
    _health(client, labels)
    st.space("small")
    known = [name for name in pages if name in TRY]
    for column, name in zip(st.columns(max(len(known), 1)), known, strict=False):
        with column:
            _card(labels, name, pages[name])
    others = [name for name in pages if name not in TRY]
    with st.container(horizontal=True):
        for name in others:
            st.page_link(pages[name])
    st.space("small")
    with st.container(border=True):
        st.subheader(labels("home.api"), anchor=False)
        st.markdown(labels("home.api_text", docs=f"{client.base_url}/docs"))
        st.code(_snippet(client.base_url), language="python")


def _card(labels: Labels, name: str, page: Any) -> None:
    with st.container(border=True, height="stretch"):
        st.page_link(page, label=f"**{labels(f'nav.{name}')}**")
        st.markdown(labels(f"home.{name}"))
        st.caption(labels("home.try"))
        hints = "\n".join(f"- {labels(f'home.{name}.try{idx}')}" for idx in range(1, TRY[name] + 1))
        st.markdown(hints)


def _health(client: TriviumClient, labels: Labels) -> None:
    found = parts.ask(labels, client.health)
    if found is None:
        return
    with st.container(border=True):
        st.subheader(labels("home.health"), anchor=False)
        with st.container(horizontal=True, gap="large"):
            for name, (text, colour) in _states(client, labels, found).items():
                with st.container(width="content", gap="xsmall"):
                    st.caption(labels(f"health.{name}"))
                    st.badge(text, color=colour)


def _states(client: TriviumClient, labels: Labels, health: Mapping[str, Any]) -> dict[str, tuple[str, parts.Colour]]:
    """Part -> (its state in words, colour)."""
    state = str(health.get("status", ""))
    return {
        "service": (labels.get(f"state.{state}", state), "green" if state == "ok" else "orange"),
        "model": (str(health.get("model") or labels("state.unknown")), "green" if health.get("model") else "orange"),
        "verticals": (", ".join(health.get("verticals", [])) or labels("state.unknown"), "green"),
        **({"audit": _audit(client, labels)} if client.may("audit.verify") else {}),
        **({"evaluation": _evaluation(client, labels)} if client.may("evals.read") else {}),
    }


def _audit(client: TriviumClient, labels: Labels) -> tuple[str, parts.Colour]:
    try:
        found = client.audit()
    except ApiError as error:
        return error.title, "gray"
    if found["broken_at"] is not None:
        return labels("state.broken", entry=found["broken_at"]), "red"
    return labels("state.whole", entries=found["entries"]), "green"


def _evaluation(client: TriviumClient, labels: Labels) -> tuple[str, parts.Colour]:
    try:
        runs = client.eval_runs()
    except ApiError as error:
        return error.title, "gray"
    if not runs:
        return labels("state.no_runs"), "gray"
    code = runs[0].get("exit_code")
    return run_state(labels, code), "green" if code == 0 else "orange"


def _snippet(base_url: str) -> str:
    return f"""from openai import OpenAI

client = OpenAI(base_url="{base_url}/v1", api_key="...")
question = {{"role": "user", "content": "How do I return a lamp?"}}
answer = client.chat.completions.create(model="trivium-support", messages=[question])
print(answer.choices[0].message.content)"""
