"""Secrets come from the environment or from files, and leave neither by log, error, list nor repr."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from typer.testing import CliRunner

from service.api import create_app
from service.cli_admin import doctor_app
from service.monitoring import configure_logging
from service.oidc import SigningKeys, TokenVerifier
from service.settings import Settings, read_settings, secret_names
from tests.fake_kit import make_kit
from tests.service.fake_issuer import ISSUER, SETTINGS, FakeIssuer
from verticals.contract import InvalidInput

PLANTED = "hunter2hunter2hunter2hunter2hunter2hunter2"
GROUPS = {  # what secrets need beside them
    "TRIVIUM_OIDC_ISSUER": "https://login.example",
    "TRIVIUM_OIDC_AUDIENCE": "trivium",
    "TRIVIUM_OIDC_CLIENT_ID": "dashboards",
    "TRIVIUM_EVENTS_URL": "https://shop.example/events",
    "TRIVIUM_EVAL_WEBHOOK_URL": "https://shop.example/nightly",
    "TRIVIUM_CHATWOOT_URL": "https://chat.example",
    "TRIVIUM_ALARMS_URL": "https://chat.example/alarms",
    "TRIVIUM_MAIL_USER": "trivium",
}


def _planted(name: str) -> str:
    if name == "database_url":
        return f"postgresql+psycopg://u:{PLANTED}@db/x"
    return f"whsec_{PLANTED}" if name.endswith(("webhook_secret", "events_secret", "alarms_secret")) else PLANTED


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Every secret that there is, each in a file of its own."""
    for name, value in GROUPS.items():
        monkeypatch.setenv(name, value)
    found = {}
    for name in secret_names():
        found[name] = tmp_path / name
        found[name].write_text(_planted(name) + "\n")
        found[name].chmod(0o640)
        monkeypatch.setenv(f"TRIVIUM_{name.upper()}_FILE", str(found[name]))
    return found


def test_every_secret_may_lie_in_a_file(files: dict[str, Path]) -> None:
    settings = read_settings()

    assert len(files) >= 11
    assert {name: getattr(settings, name).get_secret_value() for name in files} == {
        name: _planted(name) for name in files
    }


def test_secrets_show_in_no_form_of_the_settings(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings()
    listed = CliRunner().invoke(doctor_app, ["--settings"]).stdout

    assert "TRIVIUM_OIDC_CLIENT_SECRET" in listed
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json(), listed):
        assert PLANTED not in shown


def test_a_secret_is_not_told_when_another_setting_is_wrong(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TRIVIUM_PORT", "0"), ("TRIVIUM_SLACK_BOT_TOKEN_FILE", "/nowhere")):
        monkeypatch.setenv(name, value)
        with pytest.raises(InvalidInput, match=name) as refusal:
            read_settings()
        assert PLANTED not in str(refusal.value)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_file_that_everybody_may_read_is_refused(files: dict[str, Path], mode: int) -> None:
    files["mcp_key"].chmod(mode)

    with pytest.raises(InvalidInput, match="TRIVIUM_MCP_KEY_FILE: names a file that everybody on the machine may read"):
        read_settings()


def test_a_file_that_holds_nothing_or_is_none_is_refused(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files["mcp_key"].write_text("\n")
    with pytest.raises(InvalidInput, match="TRIVIUM_MCP_KEY_FILE: names a file that holds nothing"):
        read_settings()

    files["mcp_key"].unlink()
    with pytest.raises(InvalidInput, match="TRIVIUM_MCP_KEY_FILE: names a file that cannot be read"):
        read_settings()


def test_a_secret_is_given_once(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_MCP_KEY", PLANTED)

    with pytest.raises(InvalidInput, match="TRIVIUM_MCP_KEY_FILE: TRIVIUM_MCP_KEY is set too"):
        read_settings()


def test_what_is_no_secret_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_PORT_FILE", "/etc/passwd")

    with pytest.raises(InvalidInput, match="TRIVIUM_PORT_FILE: is not a setting"):
        read_settings()


def test_keys_and_tokens_reach_neither_log_nor_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    issuer = FakeIssuer()
    secret_settings = {**SETTINGS, "oidc_client_id": "d", "oidc_client_secret": SecretStr(PLANTED)}
    kit = make_kit(tmp_path, {}, settings=secret_settings)
    verifier = TokenVerifier(Settings(**SETTINGS), SigningKeys(ISSUER, transport=issuer.transport))
    configure_logging("debug", json=True)
    client = TestClient(create_app(replace(kit, tokens=verifier)))
    sent = [
        kit.keys.issue(tenant="acme", label="x"),
        f"tvm_0123456789ab_{PLANTED}",
        issuer.token(),
        issuer.token(aud="payroll"),
        issuer.token()[:-4],
        PLANTED,
    ]
    answers = [client.get("/v1/me", headers={"Authorization": f"Bearer {one}"}) for one in sent]
    issuer.is_down = True
    fresh = TokenVerifier(Settings(**SETTINGS), SigningKeys(ISSUER, transport=issuer.transport))
    answers.append(
        TestClient(create_app(replace(kit, tokens=fresh))).get("/v1/me", headers={"Authorization": f"Bearer {sent[2]}"})
    )

    told = capfd.readouterr().err + "".join(answer.text + str(answer.headers) for answer in answers)
    assert [answer.status_code for answer in answers] == [200, 401, 200, 401, 401, 401, 503]
    assert "the issuer's keys were not fetched" in told
    for one in sent:  # of a token, what signs it
        secret = one.split("_", 2)[-1] if one.startswith("tvm_") else one.rpartition(".")[2]
        assert secret not in told
