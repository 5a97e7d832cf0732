"""Few-shot findings over HTTP and at the command line: the same ledger, and problems that name field and rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from service.api import create_app
from service.audit import AuditLog
from service.cli_medical import medical_app
from service.storage import make_sessions, open_database
from tests.conftest import served
from tests.verticals.medical.fewshot.conftest import ASKED, TENANT, open_kit
from tests.verticals.medical.fewshot.spots import archive, zipped
from verticals.contract import TriviumError

PATH = "/v1/medical/few-shot"
WHO = {"name": "Dr. A. Reader", "reason": "Looked at forty of its answers."}


@pytest.fixture
def client(home: Path, service_logging: None) -> Iterator[httpx.Client]:
    kit = open_kit(home)
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant=TENANT, label='test')}"}
    with served(create_app(kit)) as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as found:
        yield found
    kit.close()


def trivium(home: Path, *words: str) -> str:
    """What `trivium medical few-shot` prints."""
    done = CliRunner().invoke(
        medical_app, ["few-shot", *words, "--tenant", TENANT], env={"TRIVIUM_HOME": str(home), "COLUMNS": "200"}
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_finding_is_listed_enabled_and_rolled_back_over_http(client: httpx.Client) -> None:
    [finding] = client.get(PATH).json()["findings"]
    probe = next(one for one in finding["versions"] if one["method"] == "linear probe")
    path = f"{PATH}/{ASKED['finding']}"

    enabled = client.post(f"{path}/enable", json=WHO | {"version": probe["version"]}).json()["finding"]
    restored = client.post(f"{path}/roll-back", json=WHO).json()["finding"]

    assert finding["finding"] == ASKED["finding"]
    assert enabled["enabled"] == probe["version"]
    assert restored["enabled"] is None
    assert [one["step"] for one in restored["switches"]] == ["roll back", "enable"]


@pytest.mark.parametrize(
    ("data", "content", "status", "field"),
    [
        ({}, zipped({"a.png": b""}), 422, "file"),
        ({}, b"no archive", 415, "archive"),
        ({"modality": "XX"}, archive(), 422, "modality"),
        ({"finding": "a/b"}, archive(), 422, "finding"),
    ],
    ids=["no labels", "no archive", "modality", "finding"],
)
def test_a_bad_training_is_a_problem_that_names_its_field(
    client: httpx.Client, data: dict[str, str], content: bytes, status: int, field: str
) -> None:
    answer = client.post(PATH, data=ASKED | data, files={"file": ("x.zip", content)})

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"].endswith(field)


def test_a_switch_needs_a_reason_and_an_existing_finding(client: httpx.Client) -> None:
    short = client.post(f"{PATH}/{ASKED['finding']}/disable", json=WHO | {"reason": "so"})
    unknown = client.post(f"{PATH}/other/disable", json=WHO)

    assert (short.status_code, short.json()["field"].endswith("reason")) == (422, True)
    assert (unknown.status_code, unknown.json()["field"]) == (404, "finding")


def test_the_commands_switch_the_same_findings(home: Path) -> None:
    listed = trivium(home, "list")
    version = next(line.split()[0] for line in listed.splitlines() if "linear probe, 24 + 40 images" in line)
    who = ("--name", WHO["name"], "--reason", WHO["reason"])

    enabled = trivium(home, "enable", ASKED["finding"], version, *who)
    disabled = trivium(home, "disable", ASKED["finding"], *who)
    restored = trivium(home, "roll-back", ASKED["finding"], *who)

    assert "none in use" in listed
    assert "may not be enabled: it is not shown to be better than the linear probe" in listed
    assert f"{version} is in use" in enabled
    assert f"* {version} linear probe" in enabled
    assert "none in use" in disabled
    assert f"{version} is in use" in restored
    database = open_database(f"sqlite:///{home / 'trivium.db'}")
    steps = [
        entry["outcome"]["step"]
        for entry in AuditLog(make_sessions(database)).of_kind(TENANT, "medical.few_shot")
        if entry["outcome"]["step"] != "train"
    ]
    database.dispose()
    assert steps == ["enable", "disable", "roll back"]


def test_training_at_the_command_line_says_what_is_wrong(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(zipped({"a.png": b""}))
    about = [f"--{name.replace('_', '-')}={value}" for name, value in ASKED.items()]

    with pytest.raises(TriviumError, match=r"must hold exactly one labels\.csv"):
        trivium(home, "train", str(file), *about)
    with pytest.raises(TriviumError, match="must be a file that can be read"):
        trivium(home, "train", str(tmp_path / "nothing.zip"), *about)


def test_the_same_images_again_give_the_same_versions(home: Path, tmp_path: Path) -> None:
    before = trivium(home, "list")
    file = tmp_path / "x.zip"
    file.write_bytes(archive())

    told = trivium(home, "train", str(file), *[f"--{name.replace('_', '-')}={value}" for name, value in ASKED.items()])

    assert told.endswith(before)  # progress is told before
