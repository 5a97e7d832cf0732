"""`trivium models` from its user's side: what is kept is shown, and one damaged version does not hide the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.registry import FileRegistry
from tests.service.fake_scales import CARD, MODEL, register
from tests.service.letters import make_folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a model of two versions, the older one's card damaged, and a damaged model beside it."""
    home = tmp_path_factory.mktemp("home")
    registry = FileRegistry(home / "registry")
    older, other = register(registry, 2, activate=True), registry.save("scales.other", {"a": b"a"}, CARD).version
    register(registry, 3, activate=True)
    for name, version in ((MODEL, older), ("scales.other", other)):
        (home / "registry" / name / version / "registered.json").write_text("{")
    return home


@pytest.fixture
def models(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRIVIUM_HOME", str(home))
    return lambda *arguments: CliRunner().invoke(app, ["models", *arguments])


def test_the_list_shows_every_model_and_says_which_is_damaged(models) -> None:
    done = models("list")

    assert done.exit_code == 0
    assert MODEL in done.output
    assert "DAMAGED" in done.output


def test_the_lineage_goes_as_far_as_cards_can_be_read(models) -> None:
    done = models("lineage", MODEL)

    assert done.exit_code == 0
    assert "trained on: -" in done.output
    assert "cannot be read" in done.output


def test_verify_names_each_damaged_version_and_fails(models) -> None:
    done = models("verify")

    assert done.exit_code != 0
    assert (done.output.count("DAMAGED"), done.output.count("whole")) == (2, 1)


def test_a_language_model_is_registered_by_its_folder_and_refused_without(models, home: Path) -> None:
    make_folder(home / "models", "b")

    done, missing = models("register", "b"), models("register", "c")

    assert (done.exit_code, done.output.split()[0]) == (0, "core")
    assert FileRegistry(home / "registry").versions("core") == [done.output.split()[1].rstrip(":")]
    assert "must be one of b" in str(missing.exception)
    assert f"core {done.output.split()[1].rstrip(':')}: whole" in models("verify").output
    (home / "models" / "b" / "model.safetensors").write_text("other")
    assert "model.safetensors differs from its card" in models("verify").output
