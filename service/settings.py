"""Typed settings, and the only place that reads the environment. Ignores what the values are used for."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.setting_rules import PREFIX, RULES, listed, pairs_of, shown
from verticals.broken_rules import rule_of
from verticals.contract import InvalidInput


class Settings(BaseSettings):
    """Everything an operator may set, as `TRIVIUM_<NAME>`. `trivium doctor` prints the values in force."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(Path("var"), description="Where models, indexes, reports and the SQLite file live.")
    data: Path | None = Field(None, description="Optional folder of development data sets, read-only.")
    database_url: SecretStr = Field(SecretStr(""), description="SQLAlchemy URL; empty means SQLite under `home`.")
    host: str = Field("127.0.0.1", description="Address that the API and the dashboards listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port of the API.")
    dashboard_port: int = Field(8501, ge=1, le=65535, description="Port of the dashboards.")
    demo: bool = Field(True, description="Prepare demo models and data, and issue a demo key at `trivium up`.")
    model: Path | None = Field(None, description="Checkpoint folder to serve instead of the embedded default model.")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "int4", "int8", "int8-dynamic", "bf16", "fp32"] = Field(
        "auto",
        description="Weights of the local engine; `auto`: bf16 on a GPU, on a CPU int8, or int4 if ready-made for the "
        "kernels, as the embedded model is.",
    )
    kernels: bool = Field(
        True,
        description="Run the local engine over kernels: native code on a CPU, where compiled, Triton's on a GPU, "
        "with the extra `cuda`.",
    )
    adapters: str = Field("", description="Adapters of the local engine in PEFT's format, as name=folder,name=folder.")
    max_batch: int = Field(8, ge=1, le=256, description="Requests that the local engine decodes at once.")
    engine: Literal["local", "openai"] = Field("local", description="`openai`: any OpenAI-compatible server.")
    openai_base_url: str = Field(
        "", description="Address of that server, up to and with `/v1`; of equal ones several, separated by commas."
    )
    openai_model: str = Field("", description="The model's name there.")
    openai_api_key: SecretStr = Field(SecretStr(""), description="Key for that server; empty if it asks for none.")
    openai_timeout_s: float = Field(
        120, gt=0, description="Longest wait for a remote answer to begin, or for its next piece."
    )
    embedder: Literal["english", "multilingual"] = Field(
        "english",
        description="`multilingual` also finds Chinese and other languages; an extra, slower (decision 0009).",
    )
    encoder: Path | None = Field(
        None,
        description="Folder of a larger BERT or MPNet that reads intents, and a record's diseases if it is "
        "all-mpnet-base-v2, instead of the embedded MiniLM (decision 0036).",
    )
    vectors: Literal["faiss", "pgvector", "qdrant"] = Field(
        "faiss", description="Where large indexes have their vectors: in this process, PostgreSQL or Qdrant."
    )
    vectors_url: SecretStr = Field(
        SecretStr(""), description="Qdrant's address, or another PostgreSQL for pgvector; empty: the database."
    )
    vectors_key: SecretStr = Field(SecretStr(""), description="Qdrant's API key; empty if it asks for none.")
    max_upload_mb: int = Field(64, ge=1, le=4096, description="Largest request body, MiB.")
    max_study_mb: int = Field(4096, ge=1, description="Largest imaging study, all its stored objects together, MiB.")
    max_batch_mb: int = Field(4096, ge=1, description="Largest file that is scored or read as it streams, MiB.")
    max_chat_kb: int = Field(512, ge=1, description="Largest body of chat, response, webhook and MCP requests, KiB.")
    requests_per_minute: int = Field(6000, ge=1, description="Requests of one API key; each process counts its own.")
    max_running: int = Field(
        16, ge=2, le=1024, description="Requests that run at once; a tenant may run as many as are free."
    )
    max_waiting: int = Field(1024, ge=1, le=65536, description="Requests that wait for one of those places.")
    max_wait_s: float = Field(5, gt=0, le=600, description="How long one waits before it is refused with 503.")
    drain_s: float = Field(
        0, ge=0, le=600, description="How long it answers on after SIGTERM, unready, before it stops."
    )
    stop_s: int = Field(5, ge=1, le=600, description="How long requests that run may take to end when it stops.")
    oidc_issuer: str = Field("", description="Address of the OpenID Connect issuer whose tokens count; empty: none.")
    oidc_audience: str = Field("", description="What its tokens must name as audience: this API.")
    oidc_jwks_url: str = Field("", description="Where its keys are; empty: where its discovery document says.")
    oidc_ca: str = Field("", description="PEM file of who certifies it; empty: the public ones.")
    oidc_tenant_claim: str = Field("tenant", description="Claim of a token that names its tenant.")
    oidc_roles_claim: str = Field("roles", description="Claim of a token that lists its person's roles.")
    oidc_client_id: str = Field("", description="The dashboards' client there; set, they ask people to log in.")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="That client's secret.")
    oidc_scope: str = Field("openid profile", description="What the dashboards ask the issuer for.")
    dashboard_url: str = Field("", description="Address that people open the dashboards at; empty: host and port.")
    cors_origins: str = Field("", description="Origins whose pages may call the API, comma-separated; empty: none.")
    trusted_proxies: str = Field(
        "", description="Addresses or networks whose X-Forwarded headers count, comma-separated; empty: nobody's."
    )
    stream_idle_s: float = Field(30, gt=0, description="How long a resumable stream goes on without a listener.")
    channel_tenant: str = Field("demo", description="Tenant that webhooks and events belong to.")
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="Of inbound webhooks; whsec_ and 24 to 64 bytes, base64."
    )
    events_url: str = Field("", description="Where signed events go; empty: nowhere.")
    events_secret: SecretStr = Field(SecretStr(""), description="Signs events; whsec_ and 24 to 64 bytes, base64.")
    dicom_port: int = Field(11112, ge=1, le=65535, description="Port of `trivium medical receive`.")
    dicom_aets: str = Field("", description="Called AE titles and whose they are, as AE=tenant,AE=tenant.")
    dicom_peers: str = Field("", description="Calling AE titles and whom they may send to, as AE=tenant,AE=tenant.")
    dicom_tls_cert: str = Field("", description="PEM file of the receiver's certificate; empty: no TLS.")
    dicom_tls_key: str = Field("", description="PEM file of its key.")
    dicom_tls_ca: str = Field("", description="PEM file of who certifies senders; empty: they need no certificate.")
    dicom_folders: str = Field("", description="Watched folders, as tenant=folder,tenant=folder.")
    pacs_url: str = Field("", description="DICOMweb root of the PACS that studies are fetched from.")
    pacs_user: str = Field("", description="User of the PACS; empty if it asks for none.")
    pacs_password: SecretStr = Field(SecretStr(""), description="That user's password.")
    slack_signing_secret: SecretStr = Field(SecretStr(""), description="Slack's secret of this app's requests.")
    slack_bot_token: SecretStr = Field(SecretStr(""), description="Token with chat:write, to answer in Slack.")
    slack_api_url: str = Field("https://slack.com/api", description="Slack's Web API.")
    chatwoot_url: str = Field("", description="Address of the Chatwoot server, without a path.")
    chatwoot_secret: SecretStr = Field(SecretStr(""), description="Secret of the Chatwoot agent bot's webhook.")
    chatwoot_token: SecretStr = Field(SecretStr(""), description="Access token of the Chatwoot agent bot.")
    watch_s: float = Field(30, ge=0, le=600, description="Seconds between two looks at the service; 0: not watched.")
    alarm_rules: Path | None = Field(None, description="JSON file of alarm rules instead of those that are shipped.")
    rebalance: bool = Field(True, description="Whether an alarm may even out the load of the core's experts by itself.")
    alarms_url: str = Field("", description="Where signed alarms go; empty: nowhere.")
    alarms_secret: SecretStr = Field(SecretStr(""), description="Signs alarms; whsec_ and 24 to 64 bytes, base64.")
    mail_host: str = Field("", description="Mail server that takes alarms; empty: no mail.")
    mail_port: int = Field(587, ge=1, le=65535, description="Its port.")
    mail_tls: Literal["starttls", "tls"] = Field("starttls", description="`tls`: from the first byte, as on port 465.")
    mail_user: str = Field("", description="User of the mail server; empty if it asks for none.")
    mail_password: SecretStr = Field(SecretStr(""), description="That user's password.")
    mail_from: str = Field("", description="Sender of alarms.")
    mail_to: str = Field("", description="Who gets alarms; several with commas.")
    otlp_url: str = Field("", description="Where traces go, as http://collector:4318/v1/traces; empty: not traced.")
    mcp_key: SecretStr = Field(SecretStr(""), description="API key that `trivium mcp` speaks for.")
    evals: Path | None = Field(None, description="Folder of own evaluation suites, one Python file each.")
    eval_webhook_url: str = Field("", description="Where the nightly's signed summary goes; empty: nowhere.")
    eval_webhook_secret: SecretStr = Field(SecretStr(""), description="Signs it; whsec_ and 24 to 64 bytes, base64.")
    audit_retention: str = Field(
        "", description="How many days the audit trail keeps what kind, as finance.*=3650,*=730; empty: for ever."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = Field(False, description="One JSON object a line instead of readable text.")

    @model_validator(mode="after")
    def _obeys_the_rules_of_settings_together(self) -> Self:
        for rule in RULES:
            rule(self)
        return self

    @property
    def allowed_origins(self) -> list[str]:
        """`cors_origins`, one by one."""
        return listed(self.cors_origins)

    @property
    def proxies(self) -> list[str]:
        """`trusted_proxies`, one by one."""
        return listed(self.trusted_proxies)

    @property
    def api_address(self) -> str:
        """Where the API is from this machine."""
        return f"http://{self.host}:{self.port}"

    @property
    def dashboard_address(self) -> str:
        """Where people open the dashboards."""
        return self.dashboard_url.rstrip("/") or f"http://{self.host}:{self.dashboard_port}"

    @property
    def openai_base_urls(self) -> list[str]:
        """`openai_base_url`, one by one."""
        return listed(self.openai_base_url)

    @property
    def adapter_folders(self) -> dict[str, Path]:
        """`adapters`, by name."""
        return {name: Path(folder) for name, folder in pairs_of(self.adapters)}

    @property
    def dicom_tenants(self) -> dict[str, str]:
        """`dicom_aets`: called AE title -> tenant."""
        return dict(pairs_of(self.dicom_aets))

    @property
    def dicom_senders(self) -> frozenset[tuple[str, str]]:
        """`dicom_peers`: (calling AE title, tenant)."""
        return frozenset(pairs_of(self.dicom_peers))

    @property
    def watched_folders(self) -> list[tuple[str, Path]]:
        """`dicom_folders`: tenant, folder."""
        return [(tenant, Path(folder)) for tenant, folder in pairs_of(self.dicom_folders)]

    @property
    def retention_days(self) -> dict[str, int]:
        """`audit_retention`: kind of audit entries -> days."""
        return {kind: int(days) for kind, days in pairs_of(self.audit_retention)}

    @property
    def has_channels(self) -> bool:
        """Whether any webhook channel or receiver of events is set up."""
        return bool(self.events_url or self.chatwoot_url or self.slack_signing_secret.get_secret_value())

    @property
    def reports(self) -> Path:
        """Where the nightly writes its reports."""
        return self.home / "reports"

    @property
    def sqlalchemy_url(self) -> str:
        """The database in force; SQLite under `home` unless a URL is set."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.home.resolve() / 'trivium.db'}"


def read_settings() -> Settings:
    """Settings from the environment. A secret may lie in a file instead: `TRIVIUM_<NAME>_FILE` names it.

    Raises:
        InvalidInput: a `TRIVIUM_` variable is unknown or breaks its rule.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    in_files = {f"{PREFIX}{name.upper()}_FILE": name for name in secret_names()}
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known and name not in in_files:
            raise InvalidInput("is not a setting", field=name, remedy="`trivium doctor --settings` lists them.")
    try:
        found: dict[str, Any] = {name: _read_secret(file) for file, name in in_files.items() if file in os.environ}
        return Settings(**found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if isinstance(ours := first.get("ctx", {}).get("error"), InvalidInput):
            raise ours from None
        raise _refused(str(first["loc"][0]), first["input"], rule_of(first)) from None


def _refused(name: str, value: object, rule: str) -> InvalidInput:
    """A value that is none for its setting, whatever the others are."""
    default = Settings.model_fields[name].default
    remedy = f"Correct it, or leave it out for {str(default).lower() if isinstance(default, bool) else default}."
    return InvalidInput(rule, field=PREFIX + name.upper(), value=shown(value), remedy=remedy)


def secret_names() -> list[str]:
    """The settings that nobody may read in a log, an error or a list of settings."""
    return [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]


def _read_secret(variable: str) -> SecretStr:
    """What the file that `variable` names holds, without the spaces around it.

    Raises:
        InvalidInput: it cannot be read, is empty or is open to everybody, or the secret is also set without a file.
    """
    if os.environ.get(variable.removesuffix("_FILE")):
        rule, remedy = f"{variable.removesuffix('_FILE')} is set too", "Set one of them."
        raise InvalidInput(rule, field=variable, value=os.environ[variable], remedy=remedy)
    path = Path(os.environ[variable])
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        rule, remedy = f"names a file that cannot be read ({type(error).__name__})", "Name a readable file in UTF-8."
        raise InvalidInput(rule, field=variable, value=str(path), remedy=remedy) from None
    if mode & stat.S_IRWXO:
        raise InvalidInput(
            "names a file that everybody on the machine may read",
            field=variable,
            value=str(path),
            remedy="`chmod o= FILE`; in Kubernetes `defaultMode: 0440`.",
        )
    if not text:
        remedy = "Write the secret into it, or leave the variable out."
        raise InvalidInput("names a file that holds nothing", field=variable, value=str(path), remedy=remedy)
    return SecretStr(text)
