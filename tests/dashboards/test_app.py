"""The main script: its options, its pages, its language, the state of the parts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import dashboards
from dashboards.app import arguments
from tests.dashboards.conftest import Api, run, texts

APP = Path(dashboards.__file__).parent / "app.py"


def _open(monkeypatch: pytest.MonkeyPatch, *options: str) -> AppTest:
    monkeypatch.setattr(sys, "argv", [str(APP), *options])
    return run(AppTest.from_file(str(APP)))


@pytest.fixture
def app(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    key_file = tmp_path / "key"
    key_file.write_text(api.key + "\n")
    return _open(monkeypatch, "--api-url", api.url, "--key-file", str(key_file))


def test_home_says_what_this_is_and_how_each_part_is(app: AppTest) -> None:
    said = texts(app)

    assert "Trivium" in said
    assert "fake-moe-1" in said
    assert "unbroken, " in said
    assert "something got worse" in said
    assert not app.warning


def test_home_links_to_every_view_and_to_the_fourth_vertical(app: AppTest) -> None:
    assert [link.label.strip("*") for link in app.page_link] == [
        "Finance",
        "Medical",
        "Support",
        "Coins",
        "Evaluation",
        "Audit",
        "Models",
        "Operations",
    ]


def test_the_language_is_changed_by_the_toggle_and_stays(app: AppTest) -> None:
    app.segmented_control[0].set_value("zh")
    run(app)
    assert "各部分状态" in texts(app)

    assert "各部分状态" in texts(run(app))


def test_without_a_service_home_still_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    app = _open(monkeypatch, "--api-url", "http://127.0.0.1:9")

    assert "cannot be reached" in app.warning[0].value
    assert [link.label.strip("*") for link in app.page_link] == [
        "Finance",
        "Medical",
        "Support",
        "Evaluation",
        "Audit",
        "Models",
        "Operations",
    ]


def test_an_unknown_option_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        arguments(["--api-key", "secret"])

    assert "unrecognized arguments" in capsys.readouterr().err
