"""Log-in: who reads the pages, and with whose key or token the API is asked. Ignores what the pages show.

With an issuer set, Streamlit's own log-in keeps each person's token in a signed cookie that no script can read, and the
API is asked with it. Without one, everybody reads with the key of the command line.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import ApiError, TriviumClient

_CLIENT = "login.client"


@st.cache_resource
def client_for(api_url: str, key: str) -> TriviumClient:
    """One client, with its connections, for all sessions that read with the same key."""
    return TriviumClient(api_url, key)


def needs_login() -> bool:
    """Whether an issuer is set."""
    return "is_logged_in" in st.user


def reader(labels: Labels, *, api_url: str, key: str) -> TriviumClient | None:
    """The client of whoever reads; None: nobody is logged in, and the page says so."""
    if not needs_login():
        return client_for(api_url, key)
    if not st.user.is_logged_in:
        return None
    client = _of_session(api_url, st.user.tokens.get("access", ""))
    try:
        client.me()
    except ApiError as error:
        if error.status == 401:  # its time is over; the cookie lasts longer than the token
            st.info(labels("login.expired"), icon=":material/schedule:")
            return None
    return client


def _of_session(api_url: str, token: str) -> TriviumClient:
    """This browser's own client; another token has another."""
    kept: tuple[str, TriviumClient] | None = st.session_state.get(_CLIENT)
    if kept is None or kept[0] != token:
        if kept is not None:
            kept[1].close()
        kept = st.session_state[_CLIENT] = (token, TriviumClient(api_url, token))
    return kept[1]


def ask(labels: Labels, language: Callable[[], None]) -> None:
    """The only page for who is not logged in."""
    left, right = st.columns([2, 1], vertical_alignment="center")
    left.title("Trivium", anchor=False)
    with right, st.container(horizontal_alignment="right"):
        language()
    with st.container(border=True, width=520):
        st.markdown(labels("login.what"))
        if st.button(labels("login.button"), type="primary", icon=":material/login:"):
            st.login()


def account(client: TriviumClient, labels: Labels) -> None:
    """Who is logged in, with which roles, and the way out."""
    if not needs_login():
        return
    name = next(str(st.user[claim]) for claim in ("name", "preferred_username", "email", "sub") if claim in st.user)
    with st.popover(parts.plain(name), icon=":material/person:"):
        found = parts.ask(labels, client.me)
        if found is not None:
            roles = [labels(f"role.{role}") for role in found["roles"]]
            st.caption(", ".join(roles) or labels("login.no_role"))
        if st.button(labels("login.out"), icon=":material/logout:"):
            st.logout()
