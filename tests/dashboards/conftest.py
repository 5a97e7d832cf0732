"""The fake API on a real port, and pages run by Streamlit's own test runner against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from service.auth import KeyRing
from tests.conftest import served
from tests.dashboards.fake_api import make_app

RUN_TIMEOUT_S = 60


@dataclass(frozen=True)
class Api:
    """Where a fake API answers, a key for it, and how to get others: of a tenant, with scopes."""

    url: str
    key: str
    issue: Callable[[str, Sequence[str]], str] = lambda *_: ""


@contextmanager
def _served(home: Path, *, filled: bool) -> Iterator[Api]:
    app, key = make_app(home, filled=filled)
    keys: KeyRing = app.state.kit.keys
    with served(app) as url:
        yield Api(url, key, lambda tenant, scopes: keys.issue(tenant=tenant, label="test", scopes=scopes))


@pytest.fixture(autouse=True)
def _logging(service_logging: None) -> None:
    """Every test here logs as the service does."""


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A fake API with demo data, shared by tests that change nothing which another test reads."""
    with _served(tmp_path_factory.mktemp("shared"), filled=True) as found:
        yield found


@pytest.fixture
def own_api(tmp_path: Path) -> Iterator[Api]:
    """A fake API with fresh demo data."""
    with _served(tmp_path, filled=True) as found:
        yield found


@pytest.fixture(scope="session")
def empty_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A fake API of an installation without any data."""
    with _served(tmp_path_factory.mktemp("empty"), filled=False) as found:
        yield found


def _page(view: str, url: str, key: str, language: str, extra: tuple) -> None:  # type: ignore[type-arg]
    """A script for Streamlit: it may use only what it imports itself."""
    from importlib import import_module

    import streamlit

    from dashboards.i18n import Labels
    from service.client import TriviumClient

    labels = Labels(streamlit.session_state.get("language", language))  # a test may switch it
    import_module(f"dashboards.views.{view}").render(TriviumClient(url, key), labels, *extra)


def open_page(
    view: str,
    api: Api,
    *extra: Any,
    language: str = "en",
    tab: str | None = None,
    query: Mapping[str, str] | None = None,
) -> AppTest:
    """Run a view once, with the tab of this name open and `query` in the address; it must not raise."""
    page = AppTest.from_function(
        _page, kwargs={"view": view, "url": api.url, "key": api.key, "language": language, "extra": extra}
    )
    for name, value in (query or {}).items():
        page.query_params[name] = value
    if tab is not None:
        page.session_state[f"{view}.tab"] = tab
    return run(page)


def run(page: AppTest) -> AppTest:
    """Run a page again; it must not raise, nor leave Streamlit its own English words."""
    page.run(timeout=RUN_TIMEOUT_S)
    assert not page.exception, page.exception[0].value
    empty = [box.label for box in page.selectbox if not box.options and not box.proto.placeholder]
    assert not empty, f"nothing to choose from, and no placeholder says so: {empty}"
    return page


def press(page: AppTest, label: str) -> AppTest:
    """Press the button with this label."""
    found = [button for button in page.button if button.label == label]
    assert found, f"no button {label!r} among {[button.label for button in page.button]}"
    found[0].click()
    return run(page)


def field(elements: Any, label: str) -> Any:
    """The one input with this label."""
    found = [element for element in elements if element.label == label]
    assert len(found) == 1, f"{len(found)} inputs {label!r} among {[element.label for element in elements]}"
    return found[0]


def texts(page: AppTest) -> str:
    """All that the page says, in one string."""
    kinds = (page.markdown, page.caption, page.subheader, page.title, page.text, page.html, page.info, page.warning)
    more = (page.success, page.error, page.code)
    return "\n".join(
        str(element.value if hasattr(element, "value") else element.body)
        for kind in (*kinds, *more)
        for element in kind
    )
