"""The dashboards' main script: argument parsing, log-in, language, navigation. Ignores what each view shows.

streamlit run dashboards/app.py -- --api-url http://127.0.0.1:8000 --key-file var/demo.key
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

# `streamlit run` puts this file's folder on the path, not the one above it, where our packages are.
_ROOT = str(Path(__file__).resolve().parents[1])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

from dashboards import login, parts  # noqa: E402
from dashboards.i18n import LANGUAGES, Labels  # noqa: E402
from dashboards.views import (  # noqa: E402
    audit,
    evaluation,
    finance,
    generic,
    home,
    medical,
    models,
    operations,
    support,
)
from service.client import ApiError, TriviumClient  # noqa: E402

VIEWS = {"finance": finance.render, "medical": medical.render, "support": support.render}
SERVICE_VIEWS = {
    "evaluation": (evaluation.render, ":material/query_stats:", "evals.read"),
    "audit": (audit.render, ":material/receipt_long:", "audit.read"),
    "models": (models.render, ":material/deployed_code_history:", "models.read"),
    "operations": (operations.render, ":material/monitor_heart:", "operations.read"),
}
ICONS = {"finance": ":material/monitoring:", "medical": ":material/radiology:", "support": ":material/forum:"}


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; unknown options fail."""
    parser = argparse.ArgumentParser(prog="dashboards/app.py", description="Trivium dashboards.")
    parser.add_argument("--api-url", default="http://127.0.0.1:8000", help="where the API answers")
    parser.add_argument("--key-file", type=Path, help="file whose first line is the API key")
    return parser.parse_args(argv)


@st.cache_data(ttl=30, show_spinner=False)
def installed(_client: TriviumClient, who: str) -> list[dict[str, Any]]:
    """The verticals that the API serves; asked again after half a minute. `who` is the cache's key."""
    return _client.verticals()


def _key(path: Path | None) -> str:
    return path.read_text(encoding="utf-8").split("\n", 1)[0].strip() if path and path.is_file() else ""


def _pages(client: TriviumClient, labels: Labels) -> dict[str, Any]:
    """One page for each vertical that the API serves and the reader may use, between home and evaluation."""
    try:
        served = installed(client, client.who)
    except ApiError:  # home says what is wrong; the known views stay reachable
        served = [{"name": name} for name in VIEWS]
    pages: dict[str, Any] = {}
    user = partial(login.account, client, labels)
    for vertical in served:
        name = vertical["name"]
        if not client.may(f"{name}.*"):
            continue
        view = (
            partial(VIEWS[name], client, labels) if name in VIEWS else partial(generic.render, client, labels, vertical)
        )
        title = labels(f"nav.{name}") if name in VIEWS else vertical.get("title", name)
        icon = ICONS.get(name, ":material/extension:")
        pages[name] = st.Page(
            _within(title, _subtitle(labels, name, vertical), view, user), title=title, icon=icon, url_path=name
        )
    for name, (about, icon, scope) in SERVICE_VIEWS.items():
        if client.may(scope):
            title, body = labels(f"nav.{name}"), partial(about, client, labels)
            pages[name] = st.Page(
                _within(title, labels(f"subtitle.{name}"), body, user), title=title, icon=icon, url_path=name
            )
    start = partial(home.render, client, labels, dict(pages))
    first = st.Page(
        _within("Trivium", labels("subtitle.home"), start, user),
        title=labels("nav.home"),
        icon=":material/home:",
        default=True,
    )
    return {"home": first, **pages}


def _subtitle(labels: Labels, name: str, vertical: dict[str, Any]) -> str:
    return labels(f"subtitle.{name}") if name in VIEWS else str(vertical.get("summary", ""))


def _within(title: str, subtitle: str, view: Any, user: Any) -> Any:
    """A page: its heading with the language toggle and the reader's account beside it, then its view."""

    def page() -> None:
        left, right = st.columns([2, 1], vertical_alignment="center")  # so that all fits a narrow page
        with left:
            st.title(title, anchor=False)
            st.caption(subtitle)
        with right, st.container(horizontal=True, horizontal_alignment="right"):
            _language_toggle()
            user()
        view()

    return page


def _language_toggle() -> None:
    # A key of its own, because a widget's state is dropped when its page is left.
    st.segmented_control(
        "Language / 语言",
        options=list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        default=_language(),
        key="language_choice",
        on_change=_remember_language,
        label_visibility="collapsed",
    )


def _language() -> str:
    """As the reader chose, or else as the browser is set: a log-in comes back as a new session."""
    chosen: str = st.session_state.get("language") or ("zh" if (st.context.locale or "").startswith("zh") else "en")
    return chosen


def _remember_language() -> None:
    st.session_state["language"] = st.session_state["language_choice"] or _language()


def main(argv: Sequence[str]) -> None:
    """Draw the page that the reader chose."""
    args = arguments(argv)
    labels = Labels(_language())
    st.set_page_config(
        page_title="Trivium", page_icon=":material/hub:", layout="wide", menu_items={"About": labels("about")}
    )
    parts.style()
    client = login.reader(labels, api_url=args.api_url, key=_key(args.key_file))
    if client is None:
        _log_in(labels)
        return
    pages = _pages(client, labels)
    st.navigation(list(pages.values()), position="top").run()


def _log_in(labels: Labels) -> None:
    """The way in, at every address that a link may lead to, and no navigation left of who was here before."""
    ask = partial(login.ask, labels, _language_toggle)
    others = [st.Page(ask, title="Trivium", url_path=name) for name in (*VIEWS, *SERVICE_VIEWS)]
    st.navigation([st.Page(ask, title="Trivium", default=True), *others], position="hidden").run()


if __name__ == "__main__":  # so it is when Streamlit runs this file
    main(sys.argv[1:])
