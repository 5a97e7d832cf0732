"""Every folder of `verticals` is a vertical, or discovery says what it lacks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from service.discovery import BrokenVertical, discover


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "made_up_verticals"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("made_up_verticals")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def add(package: Path, name: str, source: str) -> None:
    (package / name).mkdir()
    (package / name / "__init__.py").write_text(source)


def test_the_three_professions_are_found() -> None:
    assert list(discover()) == ["finance", "medical", "support"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "must define VERTICAL"),
        ("VERTICAL = 3", "must define VERTICAL"),
        (
            "from verticals.contract import Vertical\n"
            "VERTICAL = Vertical('law', '', '', (), lambda r: {}, lambda r, h: (), lambda r, p: None)",
            "must be the folder's name",
        ),
    ],
)
def test_a_folder_that_breaks_the_contract_is_an_error(package: Path, source: str, message: str) -> None:
    add(package, "tax", source)

    with pytest.raises(BrokenVertical, match=message):
        discover("made_up_verticals", [str(package)])


def test_a_fourth_vertical_is_one_folder(package: Path) -> None:
    source = (
        "from verticals.contract import Vertical\n"
        "VERTICAL = Vertical('tax', 'Tax', '', (), lambda r: {}, lambda r, h: (), lambda r, p: None)"
    )
    add(package, "tax", source)

    assert list(discover("made_up_verticals", [str(package)])) == ["tax"]
