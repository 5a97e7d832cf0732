"""`trivium eval` from its user's side: what is wrong is said before anything runs, runs are listed and pinned."""

from __future__ import annotations

import fcntl
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.cli_parts import open_parts
from service.evals.nightly import Night, run_nightly
from service.settings import Settings
from tests.service.evals.fake_bench import FakeBench, by_cases


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with one run."""
    home = tmp_path_factory.mktemp("home")
    with open_parts(Settings(home=home)) as parts:
        night = Night(
            sessions=parts.sessions,
            tenant="demo",
            out_dir=home / "reports",
            now=lambda: datetime(2026, 11, 2, 2, tzinfo=UTC),
        )
        bench = FakeBench("core", by_cases({"a": 1.0, "b": 0.0}))
        return home, run_nightly([bench], night, progress=lambda what, share: None).run_id


@pytest.fixture
def trivium(home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRIVIUM_HOME", str(home[0]))
    return lambda *arguments: CliRunner().invoke(app, ["eval", *arguments])


def test_a_run_is_listed_pinned_and_unpinned(trivium, home) -> None:
    assert f"{home[1]}  completed exit code 0" in trivium("runs").output

    assert trivium("baseline", "set", home[1]).exit_code == 0
    assert "(baseline)" in trivium("runs").output
    assert "is cleared" in trivium("baseline", "clear").output
    assert "There was no baseline" in trivium("baseline", "clear").output


def test_the_schema_is_json(trivium) -> None:
    assert json.loads(trivium("schema").output)["title"] == "Report"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "finanse"), "only: has no suites (got 'finanse')"),
        (("--url", "api.example.org"), "--url: must begin with http"),
        (("--url", "https://api.example.org"), "--url: needs --key-file"),
        (("--key-file", "k"), "--key-file: goes with --url"),
        (("--url", "https://api.example.org", "--key-file", "absent"), "--key-file: must be a file"),
    ],
)
def test_a_wrong_call_ends_with_64_and_runs_nothing(trivium, arguments, message: str) -> None:
    before = trivium("runs").output

    done = trivium(*arguments)

    assert done.exit_code == 64
    assert message in done.output
    assert trivium("runs").output == before


def test_a_second_run_beside_the_first_is_refused(trivium, home) -> None:
    with (home[0] / "reports/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = trivium("--only", "core")

    assert done.exit_code == 64
    assert "another evaluation runs here" in done.output
