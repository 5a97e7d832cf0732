"""An operator rotates a key at the command line, and the audit trail has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.auth import KeyRing
from service.cli_admin import keys_app
from service.cli_audit import audit_app
from service.settings import read_settings
from service.storage import make_sessions, open_database
from verticals.contract import InvalidInput


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "80")


def run(*words: str) -> str:
    done = CliRunner().invoke(audit_app if words[0] == "audit" else keys_app, words[1:])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout.strip()


def tenant_of(key: str) -> str:
    engine = open_database(read_settings().sqlalchemy_url)
    found = KeyRing(make_sessions(engine)).authenticate(key).tenant
    engine.dispose()
    return found


def test_a_key_is_rotated_with_grace_listed_and_audited_without_a_secret() -> None:
    old = run("keys", "issue", "--tenant", "bank", "--label", "till of Jane Doe", "--scope", "finance.*", "--days", "9")
    key_id = old.split("_")[1]

    new = run("keys", "rotate", key_id, "--grace", "24h")

    assert tenant_of(old) == tenant_of(new) == "bank"
    listed = run("keys", "list", "--tenant", "bank")
    assert key_id in listed  # in whole, however narrow the terminal is
    assert all(title in listed for title in ("last", "expires", "old"))
    assert "customer" not in listed
    trail = run("audit", "list", "--tenant", "bank")
    assert '"kind": "keys.rotate"' in trail
    assert '"kind": "keys.issue"' in trail
    assert f'"subject": "{key_id}"' in trail
    for secret in (old.split("_", 2)[2], new.split("_", 2)[2]):
        assert secret not in listed + trail
    assert "Jane" not in trail
    assert "whole" in run("audit", "verify")


def test_a_revocation_is_audited() -> None:
    key_id = run("keys", "issue", "--tenant", "shop", "--label", "x").split("_")[1]

    run("keys", "revoke", key_id)

    assert '"kind": "keys.revoke"' in run("audit", "list", "--tenant", "shop")


@pytest.mark.parametrize("grace", ["soon", "24", "-1h", "1.5h", "24h30m"])
def test_a_grace_that_is_no_time_is_named(grace: str) -> None:
    with pytest.raises(InvalidInput, match="--grace: must be a number and s, m, h or d"):
        run("keys", "rotate", "x", "--grace", grace)


def test_a_key_that_is_none_is_named() -> None:
    with pytest.raises(InvalidInput, match="KEY_ID: is not the id of a key"):
        run("keys", "rotate", "nobody")
