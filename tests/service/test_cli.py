"""The commands that need no model: help, keys, audit, settings, and how mistakes are told."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import create_engine, text

from benchmarks.retinas import phantom
from service.cli import main
from tests.verticals.medical.ct.small_chest import small_chest, write_luna


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def settings_of(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: nothing of ours but these settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIVIUM_")}
    return environment | {"TRIVIUM_HOME": str(home), "COLUMNS": "200", **settings}


def trivium(home: Path, *words: str, **settings: str) -> Done:
    """Run a command in this process: a new one takes three seconds to start, and there are many of them here."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith("TRIVIUM_")]:
            patch.delenv(name)
        for name, value in settings_of(home, settings).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["trivium", *words])
        try:
            main()
            code: str | int | None = 0
        except SystemExit as end:
            code = end.code
    return Done(int(code or 0), out.getvalue(), err.getvalue())


def test_help_lists_every_command(home: Path) -> None:
    command = [sys.executable, "-m", "service.cli", "--help"]
    done = subprocess.run(command, env=settings_of(home, {}), capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0
    for command in ("up", "chat", "score", "report", "ingest", "eval", "models", "audit", "doctor"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("words", [("up", "--prot", "1"), ("scroe", "x.csv"), ("audit", "verify", "--all")])
def test_an_unknown_option_or_command_fails_as_usage(home: Path, words: tuple[str, ...]) -> None:
    done = trivium(home, *words)

    assert done.returncode == 2
    assert "No such" in done.stderr


def test_exporting_before_anything_is_prepared_says_so_and_writes_nothing(home: Path, tmp_path: Path) -> None:
    done = trivium(home, "finance", "export-onnx", "--out", str(tmp_path / "onnx"))

    assert done.returncode == 1
    assert "no scorecard is registered" in done.stderr
    assert "trivium prepare" in done.stderr
    assert not (tmp_path / "onnx").exists()


def test_receiving_from_nowhere_says_what_to_set(home: Path) -> None:
    done = trivium(home, "medical", "receive")

    assert done.returncode == 1
    assert "TRIVIUM_DICOM_AETS: nothing to receive from" in done.stderr


def test_fetching_without_a_pacs_says_what_to_set(home: Path) -> None:
    done = trivium(home, "medical", "fetch", "1.2.3")

    assert done.returncode == 1
    assert "TRIVIUM_PACS_URL: must be set" in done.stderr


def test_the_receiver_takes_files_in_until_it_is_stopped(home: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "letter.txt").write_text("to Erika Mustermann")
    os.utime(inbox / "letter.txt", (0, 0))
    environment = settings_of(home, {"TRIVIUM_DICOM_FOLDERS": f"hospital={inbox}"})
    command = [sys.executable, "-m", "service.cli", "medical", "receive"]
    receiver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    assert receiver.stdout is not None
    told = list(takewhile(lambda line: "refused" not in line, iter(receiver.stdout.readline, "")))
    receiver.terminate()
    rest, _ = receiver.communicate(timeout=60)

    assert "Watching" in "".join(told)
    assert "Stopped." in rest
    assert (inbox / "rejected" / "letter.txt.reason.txt").read_text().startswith("object 1: file: must be a DICOM")


@pytest.mark.parametrize("command", ["score", "report"])
def test_a_missing_file_is_named_before_anything_is_loaded(home: Path, command: str) -> None:
    done = trivium(home, command, "nowhere.csv")

    assert done.returncode == 1
    assert "FILE: must be a file that can be read (got 'nowhere.csv')" in done.stderr
    assert not home.exists()


def test_a_misspelt_setting_is_one_line(home: Path) -> None:
    done = trivium(home, "doctor", TRIVIUM_PROT="1")

    assert done.returncode == 1
    assert done.stderr.strip() == ("error TRIVIUM_PROT: is not a setting. `trivium doctor --settings` lists them.")


def test_a_busy_port_is_one_line_that_says_what_to_do(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = trivium(home, "up", TRIVIUM_PORT=str(port))

    assert done.returncode == 1
    assert f"TRIVIUM_PORT: the port is in use by another program (got {port})" in done.stderr
    assert "make run" in done.stderr


def test_a_key_is_issued_listed_and_revoked(home: Path) -> None:
    key = trivium(home, "keys", "issue", "--label", "web shop", "--scope", "support.*").stdout.strip()
    key_id = key.split("_")[1]

    listed = trivium(home, "keys", "list").stdout
    assert key_id in listed
    assert key.split("_", 2)[2] not in listed
    assert trivium(home, "keys", "revoke", key_id).returncode == 0
    assert trivium(home, "keys", "revoke", "nobody").returncode == 1


def test_a_database_that_is_away_is_told_without_traceback_or_password(home: Path, tmp_path: Path) -> None:
    url = "postgresql+psycopg://trivium:hunter2@127.0.0.1:1/trivium"

    for words in (("keys", "list"), ("backup", str(tmp_path / "a"))):
        done = trivium(home, *words, TRIVIUM_DATABASE_URL=url)

        assert done.returncode == 1
        assert "TRIVIUM_DATABASE_URL: the database is busy or away" in done.stderr
        assert "Traceback" not in done.stderr
        assert "hunter2" not in done.stderr


def test_audit_verify_fails_when_a_row_was_changed(home: Path) -> None:
    trivium(home, "keys", "list")  # makes the database
    engine = create_engine(f"sqlite:///{home / 'trivium.db'}")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO audit_heads VALUES ('acme', 1, 'x')"))

    done = trivium(home, "audit", "verify")
    assert done.returncode == 1
    assert "acme: 0 entries, BROKEN at 1: rows at the end are missing" in done.stdout


def test_the_trail_is_listed_exported_erased_retained_and_verified_by_commands(home: Path, tmp_path: Path) -> None:
    trivium(home, "keys", "issue", "--label", "till", "--tenant", "acme")
    issued = json.loads(trivium(home, "audit", "list", "--tenant", "acme", "--kind", "keys.*").stdout)
    key_id, out = issued["subject"], tmp_path / "audit.csv"
    assert trivium(home, "audit", "export", str(out), "--tenant", "acme").returncode == 0
    assert key_id in out.read_text()
    for words, told in (
        (("export", str(out)), "OUT: is there already"),
        (("export", str(tmp_path / "no" / "audit.csv")), "OUT: must lie in a folder that exists"),
        (("export", str(tmp_path / "a"), "--format", "xls"), "format: must be one of csv, jsonl, fhir"),
        (("replay", "1", "--input", str(out)), "--input: must hold one JSON object"),
        (("show", "99"), "SEQUENCE: no such entry"),
    ):
        refused = trivium(home, "audit", *words, "--tenant", "acme")
        assert (refused.returncode, told in refused.stderr) == (1, True), refused.stderr

    tenant, head = trivium(home, "audit", "head").stdout.split()
    forged = trivium(home, "audit", "verify", "--tenant", tenant, "--head", "2:" + "ab" * 32)
    assert (forged.returncode, "BROKEN at 2: row 2 is not the one that a head" in forged.stdout) == (1, True)
    erased = trivium(home, "audit", "erase", key_id, "--reason", "article 17", "--tenant", "acme")
    verified = trivium(home, "audit", "verify", "--tenant", tenant, "--head", head)

    assert erased.stdout == "1 entries lost their payload\n"
    assert "acme: 3 entries, whole, 1 without payload; head 3:" in verified.stdout
    assert "audit.erase (3): 1 entries, article 17" in verified.stdout
    assert "NOT REPLAYABLE: " in trivium(home, "audit", "replay", "1", "--tenant", "acme").stdout
    assert json.loads(trivium(home, "audit", "show", "1", "--tenant", "acme").stdout)["outcome"] is None
    assert "TRIVIUM_AUDIT_RETENTION: is not set" in trivium(home, "audit", "retain").stderr
    kept = trivium(home, "audit", "retain", TRIVIUM_AUDIT_RETENTION="*=1")
    assert kept.stdout == "acme: 0 sealed off, 0 payloads erased\n"


def test_the_settings_are_listed_without_secrets(home: Path) -> None:
    done = trivium(home, "doctor", "--settings", TRIVIUM_DATABASE_URL="postgresql+psycopg://u:hunter2@db/x")

    assert "TRIVIUM_PORT=8000" in done.stdout
    assert "hunter2" not in done.stdout


def test_card_transactions_of_a_file_are_kept_and_bad_rows_told(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "cards.csv"
    rows = ["transaction_id,at,customer,terminal,amount,fraud", "a,2026-10-01T12:00:00Z,c,t,20.00,", "b,soon,c,t,1,1"]
    file.write_text("\n".join(rows), encoding="utf-8")

    done = trivium(home, "finance", "cards", str(file), "--history")
    assert done.returncode == 1
    assert "row 2: at: " in done.stdout
    assert "kept 1, known 0, refused 1" in done.stdout
    assert "kept 0, known 1, refused 1" in trivium(home, "finance", "cards", str(file), "--history").stdout
    assert "train-fraud" in trivium(home, "finance", "cards", str(file)).stderr


def test_training_on_an_empty_folder_says_what_it_needs(home: Path, tmp_path: Path) -> None:
    done = trivium(home, "finance", "train-fraud", str(tmp_path / "nothing"))

    assert done.returncode == 1
    assert "DIR: must be a folder with .parquet or .csv files" in done.stderr


def test_nodules_are_trained_from_a_folder_in_the_shape_of_luna16(home: Path, tmp_path: Path) -> None:
    folder = write_luna(tmp_path / "set", {f"1.2.{i}": small_chest(i) for i in range(5)})

    done = trivium(home, "medical", "train-nodules", str(folder), "--licence", "none: synthetic")
    empty = trivium(home, "medical", "train-nodules", str(tmp_path / "nothing"), "--licence", "none")

    assert done.returncode == 0, done.stderr
    assert "medical.ct_nodules@" in done.stdout
    assert "cpm_held_out" in done.stdout
    assert "Never validated on patients" in done.stdout
    assert (home / "registry" / "medical.ct_nodules" / "active").is_file()
    assert empty.returncode == 1
    assert "DIR: must hold .mhd files" in empty.stderr


def test_a_backup_is_made_and_restored_at_the_command_line(home: Path, tmp_path: Path) -> None:
    file, other = str(tmp_path / "night.trivium"), tmp_path / "other"
    assert "holds no data yet" in trivium(home, "backup", file).stderr
    assert trivium(home, "keys", "issue", "--label", "till").returncode == 0

    made = trivium(home, "backup", file)
    again = trivium(home, "restore", file)
    restored = trivium(other, "restore", file)

    assert (made.returncode, "1 file(s)" in made.stdout) == (0, True), made.stderr
    assert (again.returncode, "--replace" in again.stderr) == (1, True)
    assert (restored.returncode, "1 decisions of 1 tenants verified" in restored.stdout) == (0, True), restored.stderr
    assert "till" in trivium(other, "keys", "list").stdout
    kinds = [json.loads(line)["kind"] for line in trivium(home, "audit", "list").stdout.splitlines()]
    assert kinds == ["backup.make", "keys.issue"]


def test_a_grading_head_is_not_trained_from_too_few_photographs_and_the_counts_are_told(
    home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "graded"
    folder.mkdir()
    Image.fromarray(phantom(np.random.default_rng(0), eye="right")).save(folder / "1_right.png")
    (folder / "grades.csv").write_text("image,level\n1_right,2\n", encoding="utf-8")

    few = trivium(home, "medical", "train-dr", str(folder))
    nothing = trivium(home, "medical", "train-dr", str(tmp_path / "nothing"))

    assert (few.returncode, nothing.returncode) == (1, 1)
    assert "DIR: must hold at least 10 photographs of each grade 0 to 4" in few.stderr
    assert "1 of grade 2" in few.stderr
    assert "DIR: must be a folder with exactly one .csv" in nothing.stderr
    assert not (home / "registry").exists()


def test_vessels_are_not_trained_from_photographs_without_masks(home: Path, tmp_path: Path) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "1st_manual").mkdir()
    Image.fromarray(phantom(np.random.default_rng(0), eye="right")).save(
        tmp_path / "set" / "images" / "21_training.png"
    )

    unmasked = trivium(home, "medical", "train-vessels", str(tmp_path / "set"))
    nothing = trivium(home, "medical", "train-vessels", str(tmp_path / "nothing"))

    assert (unmasked.returncode, nothing.returncode) == (1, 1)
    assert "21_training.png: has no mask in 1st_manual/" in unmasked.stderr
    assert "DIR: must hold images/ and 1st_manual/" in nothing.stderr
    assert not (home / "registry").exists()
