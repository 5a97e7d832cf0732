"""Settings come from the environment; a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from service.cli_admin import doctor_app
from service.setting_rules import NEEDS, PAIRS, PRIVATE_URLS, WEBHOOK_SECRETS, WHOLE_GROUPS
from service.settings import Settings, read_settings, secret_names
from verticals.contract import InvalidInput

ANY_TEXT = {name for name, field in Settings.model_fields.items() if field.annotation in (str, Path, SecretStr)} | {
    name for name, field in Settings.model_fields.items() if field.default is None
}
NOT_ALONE = {*NEEDS, *PAIRS, *PRIVATE_URLS, *WEBHOOK_SECRETS, *("cors_origins", "trusted_proxies")}.union(*WHOLE_GROUPS)


def test_the_defaults_need_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIVIUM_DATA", raising=False)

    settings = read_settings()

    assert (settings.port, settings.dashboard_port, settings.engine) == (8000, 8501, "local")
    assert settings.sqlalchemy_url.startswith("sqlite:///")


def test_a_value_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_PORT", "9000")

    assert read_settings().port == 9000


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRIVIUM_PORT", "70000", r"TRIVIUM_PORT: must be at most 65535 \(got '70000'\)\. .*leave it out for 8000"),
        ("TRIVIUM_KERNELS", "perhaps", r"must be true or false \(got 'perhaps'\)\. .*leave it out for true"),
        ("TRIVIUM_DRAIN_S", "soon", r"TRIVIUM_DRAIN_S: must be a number \(got 'soon'\)"),
        ("TRIVIUM_PRECISION", "int3", "TRIVIUM_PRECISION: .*'auto', 'int4', 'int8', 'int8-dynamic', 'bf16', 'fp32'"),
        ("TRIVIUM_ADAPTERS", "polite", "TRIVIUM_ADAPTERS: must be name=folder,name=folder \\(got 'polite'\\)"),
        ("TRIVIUM_AUDIT_RETENTION", "finance=10", r"must be kind=days, such as .* \(got 'finance=10'\)"),
        ("TRIVIUM_AUDIT_RETENTION", "finance.*=0", "must be kind=days"),
        ("TRIVIUM_HOST", "0.0.0.0", "TRIVIUM_DEMO: its key and data are not for others, .*Set TRIVIUM_DEMO=false"),
        ("TRIVIUM_HOST", "::", "TRIVIUM_DEMO: its key"),
        ("TRIVIUM_HOST", "bank.example", "TRIVIUM_DEMO: its key"),
        ("TRIVIUM_OIDC_ISSUER", "https://login.example", "TRIVIUM_OIDC_ISSUER: needs TRIVIUM_OIDC_AUDIENCE"),
        ("TRIVIUM_OIDC_ISSUER", "http://login.example", "TRIVIUM_OIDC_ISSUER: must begin with https://"),
        ("TRIVIUM_OIDC_JWKS_URL", "http://login.example/keys", "TRIVIUM_OIDC_JWKS_URL: must begin with https://"),
        ("TRIVIUM_OIDC_CLIENT_SECRET", "x", "TRIVIUM_OIDC_CLIENT_SECRET: needs TRIVIUM_OIDC_CLIENT_ID"),
        ("TRIVIUM_DASHBOARD_URL", "http://trivium.example", "TRIVIUM_DASHBOARD_URL: must begin with https://"),
        ("TRIVIUM_CORS_ORIGINS", "*", "TRIVIUM_CORS_ORIGINS: must name each origin .* a wildcard would let any page"),
        ("TRIVIUM_CORS_ORIGINS", "https://*.shop.example", "TRIVIUM_CORS_ORIGINS: must name each origin"),
        ("TRIVIUM_CORS_ORIGINS", "https://a.example,http://b.example", r"got 'http://b\.example'"),
        ("TRIVIUM_CORS_ORIGINS", "https://a.example/", "TRIVIUM_CORS_ORIGINS: .*without a path"),
        ("TRIVIUM_CORS_ORIGINS", "null", "TRIVIUM_CORS_ORIGINS: must name each origin"),
        ("TRIVIUM_TRUSTED_PROXIES", "*", r"TRIVIUM_TRUSTED_PROXIES: must be addresses or networks \(got '\*'\)"),
        ("TRIVIUM_TRUSTED_PROXIES", "0.0.0.0/0", "TRIVIUM_TRUSTED_PROXIES: must not be everybody"),
        ("TRIVIUM_TRUSTED_PROXIES", "10.0.0.1,::/0", "TRIVIUM_TRUSTED_PROXIES: must not be everybody"),
        ("TRIVIUM_PROT", "1", "TRIVIUM_PROT: is not a setting"),
        ("TRIVIUM_ENGINE", "openai", "TRIVIUM_ENGINE: needs TRIVIUM_OPENAI_BASE_URL and TRIVIUM_OPENAI_MODEL"),
        (
            "TRIVIUM_VECTORS",
            "pgvector",
            r"needs PostgreSQL \(got 'pgvector'\)\. Set TRIVIUM_DATABASE_URL",
        ),
        ("TRIVIUM_VECTORS", "qdrant", "TRIVIUM_VECTORS: needs TRIVIUM_VECTORS_URL"),
        ("TRIVIUM_SLACK_BOT_TOKEN", "xoxb", "TRIVIUM_SLACK_BOT_TOKEN: needs TRIVIUM_SLACK_SIGNING_SECRET"),
        ("TRIVIUM_CHATWOOT_URL", "http://c", "needs TRIVIUM_CHATWOOT_SECRET, TRIVIUM_CHATWOOT_TOKEN"),
        ("TRIVIUM_WEBHOOK_SECRET", "whsec_" + "a" * 32, "needs TRIVIUM_EVENTS_URL"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidInput, match=message) as refusal:
        read_settings()
    assert refusal.value.remedy


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - ANY_TEXT))
def test_what_is_no_value_of_a_setting_is_told_with_rule_and_remedy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"TRIVIUM_{name.upper()}", "perhaps")

    with pytest.raises(InvalidInput, match="must be ") as refusal:
        read_settings()
    told = refusal.value
    assert (told.field, told.value) == (f"TRIVIUM_{name.upper()}", "perhaps")
    assert str(told.remedy).startswith("Correct it, or leave it out for ")


@pytest.mark.parametrize("name", sorted(NOT_ALONE))
def test_what_does_not_do_alone_is_told_with_rule_and_remedy_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"TRIVIUM_{name.upper()}", "zzz")

    with pytest.raises(InvalidInput, match=r"must|needs") as refusal:
        read_settings()
    told = refusal.value
    assert (told.field, told.value) == (f"TRIVIUM_{name.upper()}", None if name in secret_names() else "zzz")
    assert told.remedy


def test_who_logs_in_at_an_address_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_EVENTS_URL", "https://shop:hunter2@shop.example/events")

    with pytest.raises(InvalidInput, match=r"got 'https://…@shop\.example/events'") as refusal:
        read_settings()
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("demo", "host"), [("true", "127.0.0.5"), ("true", "::1"), ("true", "localhost"), ("false", "::")]
)
def test_a_demo_listens_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch, demo: str, host: str) -> None:
    monkeypatch.setenv("TRIVIUM_DEMO", demo)
    monkeypatch.setenv("TRIVIUM_HOST", host)

    assert read_settings().host == host


def test_a_weak_webhook_secret_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_EVENTS_URL", "http://shop/events")
    monkeypatch.setenv("TRIVIUM_EVENTS_SECRET", "hunter2")

    with pytest.raises(InvalidInput, match="TRIVIUM_EVENTS_SECRET: must be whsec_") as refusal:
        read_settings()
    assert "hunter2" not in str(refusal.value)


def test_adapters_are_named_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_ADAPTERS", "polite=adapters/polite, brief=adapters/brief")

    assert read_settings().adapter_folders == {"polite": Path("adapters/polite"), "brief": Path("adapters/brief")}


def test_who_may_send_to_whom_is_read_as_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_DICOM_AETS", "RADIOLOGY=hospital, CLINIC=clinic")
    monkeypatch.setenv("TRIVIUM_DICOM_PEERS", "CT 1=hospital,CT 1=clinic")
    monkeypatch.setenv("TRIVIUM_DICOM_FOLDERS", "hospital=in")

    settings = read_settings()
    assert settings.dicom_tenants == {"RADIOLOGY": "hospital", "CLINIC": "clinic"}
    assert settings.dicom_senders == {("CT 1", "hospital"), ("CT 1", "clinic")}
    assert settings.watched_folders == [("hospital", Path("in"))]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRIVIUM_DICOM_AETS", "RADIOLOGY", r"TRIVIUM_DICOM_AETS: must be AE=tenant,AE=tenant"),
        ("TRIVIUM_DICOM_AETS", "SEVENTEEN LETTERS=t", r"TRIVIUM_DICOM_AETS: an AE title has 1 to 16 characters"),
        ("TRIVIUM_DICOM_PEERS", "A\\B=t", r"TRIVIUM_DICOM_PEERS: an AE title has 1 to 16 characters"),
        ("TRIVIUM_DICOM_TLS_CA", "ca.pem", r"TRIVIUM_DICOM_TLS_CA: needs TRIVIUM_DICOM_TLS_CERT"),
        ("TRIVIUM_DICOM_TLS_KEY", "key.pem", r"TRIVIUM_DICOM_TLS_KEY: needs TRIVIUM_DICOM_TLS_CERT beside it"),
    ],
)
def test_a_receiver_that_is_set_up_wrongly_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidInput, match=message):
        read_settings()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_DATABASE_URL", "postgresql+psycopg://user:hunter2@db/trivium")

    assert "hunter2" not in repr(read_settings())


def test_an_issuer_on_this_machine_may_speak_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_OIDC_ISSUER", "http://127.0.0.1:9000")
    monkeypatch.setenv("TRIVIUM_OIDC_AUDIENCE", "trivium")

    assert read_settings().oidc_issuer == "http://127.0.0.1:9000"


def test_a_log_in_needs_an_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_OIDC_CLIENT_ID", "dashboards")
    monkeypatch.setenv("TRIVIUM_OIDC_CLIENT_SECRET", "x")

    with pytest.raises(InvalidInput, match="TRIVIUM_OIDC_CLIENT_ID: needs TRIVIUM_OIDC_ISSUER"):
        read_settings()


def test_origins_and_proxies_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_CORS_ORIGINS", "https://a.example, http://localhost:3000")
    monkeypatch.setenv("TRIVIUM_TRUSTED_PROXIES", "10.0.0.1, fd00::/8")

    settings = read_settings()
    assert settings.allowed_origins == ["https://a.example", "http://localhost:3000"]
    assert settings.proxies == ["10.0.0.1", "fd00::/8"]


def test_a_value_is_listed_as_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_DICOM_AETS", "[CT]=north,[/MR]=south")

    listed = CliRunner().invoke(doctor_app, ["--settings"]).stdout

    assert "TRIVIUM_DICOM_AETS=[CT]=north,[/MR]=south" in listed
