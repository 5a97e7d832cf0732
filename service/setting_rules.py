"""Rules of settings that need one another, or more than a type. Ignores where the values come from.

An error names the variable, its value (never a secret's), the rule and the remedy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from verticals.contract import InvalidInput

if TYPE_CHECKING:
    from service.settings import Settings

PREFIX = "TRIVIUM_"
WHOLE_GROUPS = (  # who sets one needs all of its group
    ("oidc_issuer", "oidc_audience"),
    ("oidc_client_id", "oidc_client_secret"),
    ("events_url", "events_secret"),
    ("slack_signing_secret", "slack_bot_token"),
    ("chatwoot_url", "chatwoot_secret", "chatwoot_token"),
    ("eval_webhook_url", "eval_webhook_secret"),
    ("alarms_url", "alarms_secret"),
    ("mail_host", "mail_from", "mail_to"),
    ("mail_user", "mail_password"),
    ("dicom_tls_cert", "dicom_tls_key"),
)
NEEDS = {  # who sets one needs the other
    "oidc_client_id": ("oidc_issuer", "where people log in"),
    "webhook_secret": ("events_url", "where its answers go"),
    "dicom_tls_ca": ("dicom_tls_cert", "which senders are shown"),
}
PAIRS = {
    "adapters": "name=folder",
    "dicom_aets": "AE=tenant",
    "dicom_peers": "AE=tenant",
    "dicom_folders": "tenant=folder",
    "audit_retention": "kind=days",
}
PRIVATE_URLS = ("oidc_issuer", "oidc_jwks_url", "dashboard_url")
WEBHOOK_SECRETS = ("webhook_secret", "events_secret", "alarms_secret", "eval_webhook_secret")
AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
AUDIT_KIND = re.compile(r"\*|[a-z_]+\.(\*|[a-z_]+)")
ORIGIN = re.compile(r"https?://[^/?#@*\s]+")
WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{32,86}={0,2}")


def _a_demo_stays_on_this_machine(settings: Settings) -> None:
    if settings.demo and not is_loopback(settings.host):
        raise _broken(
            "demo",
            "its key and data are not for others, and TRIVIUM_HOST is open to them",
            f"true, host {settings.host}",
            "Set TRIVIUM_DEMO=false and issue keys, or TRIVIUM_HOST=127.0.0.1.",
        )


def _people_log_in_where_nobody_listens(settings: Settings) -> None:
    for name in PRIVATE_URLS:
        if (url := getattr(settings, name)) and not is_private_url(url):
            rule = "must begin with https://, or http:// and an address of this machine"
            raise _broken(name, rule, url, "Give the address that is encrypted.")


def _others_pages_and_proxies_are_named(settings: Settings) -> None:
    for origin in settings.allowed_origins:
        if not (ORIGIN.fullmatch(origin) and is_private_url(origin)):
            raise _broken(
                "cors_origins",
                "must name each origin as https://host, without a path; a wildcard would let any page call the API",
                origin,
                "Name the hosts of your own pages.",
            )
    for proxy in settings.proxies:
        remedy = "Name the addresses or networks of your own proxies."
        try:
            is_everybody = ipaddress.ip_network(proxy).prefixlen == 0
        except ValueError:
            raise _broken("trusted_proxies", "must be addresses or networks", proxy, remedy) from None
        if is_everybody:
            rule = "must not be everybody: anyone could say who they are"
            raise _broken("trusted_proxies", rule, proxy, remedy)


def _openai_engine_has_an_address(settings: Settings) -> None:
    missing = [name for name in ("openai_base_url", "openai_model") if not listed(getattr(settings, name))]
    if settings.engine == "openai" and missing:
        needed = " and ".join(map(_variable, missing))
        raise _broken("engine", f"needs {needed}", "openai", f"Set {needed}.")


def _vectors_have_a_place(settings: Settings) -> None:
    url = _text(settings.vectors_url)
    if settings.vectors == "pgvector" and not (url or _text(settings.database_url)).startswith("postgresql"):
        remedy = "Set TRIVIUM_DATABASE_URL or TRIVIUM_VECTORS_URL to postgresql+psycopg://..."
        raise _broken("vectors", "needs PostgreSQL", "pgvector", remedy)
    if settings.vectors == "qdrant" and not url:
        raise _broken("vectors", "needs TRIVIUM_VECTORS_URL", "qdrant", "Set it to Qdrant's address.")


def _adapters_are_of_the_local_engine(settings: Settings) -> None:
    if settings.adapters and settings.engine != "local":
        raise _broken("adapters", "only the local engine has them", settings.adapters, "Leave it out.")


def _pairs_are_pairs(settings: Settings) -> None:
    for name, form in PAIRS.items():
        for left, right in pairs_of(getattr(settings, name)):
            if not (left and right):
                raise _broken(name, f"must be {form},{form}", left or right, "Give both sides of each pair.")
    for kind, days in pairs_of(settings.audit_retention):
        if not (days.isdecimal() and int(days) >= 1 and AUDIT_KIND.fullmatch(kind)):
            rule = "must be kind=days, such as finance.*=3650"
            raise _broken("audit_retention", rule, f"{kind}={days}", "Give a kind of docs/audit.md and a day or more.")
    for name in ("dicom_aets", "dicom_peers"):
        for title, _tenant in pairs_of(getattr(settings, name)):
            if not AE_TITLE.fullmatch(title):
                rule = "an AE title has 1 to 16 characters, no backslash"
                raise _broken(name, rule, title, "Give the title as the device has it (PS3.5, AE).")


def _groups_are_whole(settings: Settings) -> None:
    for group in WHOLE_GROUPS:
        given = [name for name in group if _text(getattr(settings, name))]
        if given and len(given) < len(group):
            missing = ", ".join(_variable(name) for name in group if name not in given)
            value = getattr(settings, given[0])
            raise _broken(given[0], f"needs {missing} beside it", value, "Set all of them, or none.")
    for name, (needed, why) in NEEDS.items():
        if _text(value := getattr(settings, name)) and not _text(getattr(settings, needed)):
            raise _broken(name, f"needs {_variable(needed)}, {why}", value, "Set both, or neither.")


def _webhook_secrets_are_strong(settings: Settings) -> None:
    for name in WEBHOOK_SECRETS:
        if _text(secret := getattr(settings, name)) and not WEBHOOK_SECRET.fullmatch(_text(secret)):
            rule = "must be whsec_ and 24 to 64 bytes in base64"
            raise _broken(name, rule, secret, 'Make one: echo "whsec_$(openssl rand -base64 32)".')


RULES: tuple[Callable[[Settings], None], ...] = (
    _a_demo_stays_on_this_machine,
    _people_log_in_where_nobody_listens,
    _others_pages_and_proxies_are_named,
    _openai_engine_has_an_address,
    _vectors_have_a_place,
    _adapters_are_of_the_local_engine,
    _pairs_are_pairs,
    _groups_are_whole,
    _webhook_secrets_are_strong,
)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, so that nobody else reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_private_url(url: str) -> bool:
    """Whether nobody on the way can read or change what goes to `url`: https, or http to this machine."""
    found = urlsplit(url)
    host = found.hostname or ""
    return bool(host) and (found.scheme == "https" or (found.scheme == "http" and is_loopback(host)))


def listed(text: str) -> list[str]:
    """ "a, b" one by one."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pairs_of(text: str) -> list[tuple[str, str]]:
    """ "a=b,c=d" as pairs; a side that is missing is empty."""
    parts = (pair.partition("=") for pair in filter(None, text.split(",")))
    return [(left.strip(), right.strip()) for left, _, right in parts]


def shown(value: object) -> str | None:
    """A value as an error may tell it: nothing of a secret, and of an address not who logs in there."""
    return None if isinstance(value, SecretStr) else re.sub(r"//[^/@]*@", "//…@", str(value))


def _broken(name: str, rule: str, value: object, remedy: str) -> InvalidInput:
    return InvalidInput(rule, field=_variable(name), value=shown(value), remedy=remedy)


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _text(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
