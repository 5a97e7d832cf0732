"""The commands of operators: keys, doctor. Ignores models: none of these loads one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape as plain
from rich.table import Column, Table

from service.cli_parts import open_parts
from service.settings import Settings, read_settings
from verticals.contract import InvalidInput

if TYPE_CHECKING:
    from service.auth import KeyRing

EXIT_FAILED = 1
DURATION = re.compile(r"(\d{1,6})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

KEY_COLUMNS = {
    "tenant": "tenant",
    "customer": "customer",
    "label": "label",
    "scopes": "scopes",
    "created": "created_at",
    "last used": "last_used_at",
    "expires": "expires_at",
    "old secret until": "previous_until",
    "revoked": "revoked_at",
}

Tenant = Annotated[str, typer.Option(help="Whose data and decisions.")]

doctor_app = typer.Typer()
keys_app = typer.Typer(help="API keys.", no_args_is_help=True)


@doctor_app.command()
def doctor(
    settings: Annotated[bool, typer.Option("--settings", help="List every setting and its value instead.")] = False,
) -> None:
    """What works, what does not, and what to do about it."""
    from service.doctor import examine

    console, in_force = Console(), read_settings()
    if settings:
        for name, field in Settings.model_fields.items():
            value = plain(str(getattr(in_force, name)))
            console.print(
                f"TRIVIUM_{name.upper()}={value}  [dim]{plain(field.description or '')}[/dim]", highlight=False
            )
        return
    findings = [*examine(in_force)]
    for finding in findings:
        mark = "[red]no[/red]" if finding.remedy else "[green]ok[/green]"
        console.print(f"{mark}  {finding.part}: {plain(finding.state)}  {plain(finding.remedy)}", highlight=False)
    if any(finding.remedy for finding in findings):
        raise typer.Exit(EXIT_FAILED)


@keys_app.command("issue")
def keys_issue(
    label: Annotated[str, typer.Option(help="Who or what it is for.")],
    tenant: Tenant = "demo",
    scope: Annotated[
        list[str] | None, typer.Option(help="vertical.operation, vertical.* or *; may be repeated.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Lifetime; without it the key does not expire.")] = None,
    customer: Annotated[str | None, typer.Option(help="Make it that customer's own: no --scope.")] = None,
) -> None:
    """Make a key and show it this once."""
    if customer and scope:
        raise InvalidInput("a customer's key has its own scopes", field="--scope", remedy="Leave it out.")
    lifetime, scopes = timedelta(days=days) if days else None, scope or ["*"]
    with _open_keys() as keys:
        print(keys.issue(tenant=tenant, label=label, scopes=scopes, lifetime=lifetime, customer=customer))


@keys_app.command("list")
def keys_list(tenant: Annotated[str | None, typer.Option(help="One tenant only.")] = None) -> None:
    """Keys without their secrets; a column that says nothing of any of them is left out."""
    with _open_keys() as ring:
        keys = ring.list(tenant)
    columns = {title: [_cell(getattr(key, of)) for key in keys] for title, of in KEY_COLUMNS.items()}
    told = {title: cells for title, cells in columns.items() if any(cells)}
    table = Table(Column("key id", no_wrap=True), *(Column(title, overflow="fold") for title in told))
    for row in zip((key.key_id for key in keys), *told.values(), strict=True):
        table.add_row(*row)
    Console().print(table)


def _cell(value: datetime | list[str] | str | None) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return " ".join(value) if isinstance(value, list) else value or ""


@keys_app.command("rotate")
def keys_rotate(
    key_id: str,
    grace: Annotated[str, typer.Option(help="How long the old secret works on: 30m, 24h, 7d; 0s: not at all.")] = "24h",
) -> None:
    """Give a key a new secret and show it this once; its id, scopes and expiry stay."""
    found = DURATION.fullmatch(grace)
    if found is None:
        raise InvalidInput(
            "must be a number and s, m, h or d", field="--grace", value=grace, remedy="For instance 24h."
        )
    for_so_long = timedelta(**{UNITS[found[2]]: int(found[1])})
    with _open_keys() as keys:
        key = keys.rotate(key_id, grace=for_so_long)
    if key is None:
        raise _no_such_key(key_id)
    print(key)


@keys_app.command("revoke")
def keys_revoke(key_id: str) -> None:
    """End a key now, a rotated one's old secret too."""
    with _open_keys() as keys:
        if not keys.revoke(key_id):
            raise _no_such_key(key_id)


def _no_such_key(key_id: str) -> InvalidInput:
    return InvalidInput(
        "is not the id of a key", field="KEY_ID", value=key_id, remedy="`trivium keys list` shows them."
    )


@contextmanager
def _open_keys() -> Iterator[KeyRing]:
    """Keys without loading a model."""
    from service.auth import KeyRing

    with open_parts() as parts:
        yield KeyRing(parts.sessions)
