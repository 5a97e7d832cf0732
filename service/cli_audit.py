"""The commands of the audit trail: verify, read, replay, export, erase, retain. Ignores models: none loads one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli_admin import EXIT_FAILED, Tenant
from service.cli_parts import open_parts, operator_of, require_file, write_whole
from service.settings import read_settings
from verticals.contract import InvalidInput, NotFound

if TYPE_CHECKING:
    from service.audit_check import AuditCheck
    from service.audit_read import AuditFilter
    from verticals.replaying import Replayed

audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)

Sequence = Annotated[int, typer.Argument(min=1, help="The entry's number; `trivium audit list` shows them.")]
Kind = Annotated[str, typer.Option(help="finance.score, or all of an area: finance.*")]
Actor = Annotated[str, typer.Option(help="Who: a key's or a person's id.")]
Subject = Annotated[str, typer.Option(help="An id: application, study, report, session.")]
Word = Annotated[str, typer.Option(help="A text in what was decided.")]
Since = Annotated[datetime | None, typer.Option(help="From this moment on, UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Before this moment, UTC.")]


@audit_app.command("verify")
def verify(
    tenant: Annotated[str | None, typer.Option(help="One tenant only.")] = None,
    head: Annotated[
        list[str] | None, typer.Option(help="NUMBER:SHA-256 that was kept elsewhere; may be repeated; needs --tenant.")
    ] = None,
) -> None:
    """Recompute the hash chains, and hold them against kept heads; exit 1 when one is broken."""
    from service.audit_check import Head, kept_heads

    if head and tenant is None:
        raise InvalidInput("a head is one tenant's", field="--tenant", remedy="Say whose.")
    given, reports = [Head.parse(text) for text in head or ()], read_settings().reports
    with open_parts() as parts:
        names = [tenant] if tenant else parts.audit.tenants()
        checks = [parts.audit.verify(name, heads=[*given, *kept_heads(reports, name)]) for name in names]
    for check in checks:
        _print_check(check)
    if any(check.broken_at is not None for check in checks):
        raise typer.Exit(EXIT_FAILED)


def _print_check(check: AuditCheck) -> None:
    if check.broken_at is not None:
        print(f"{check.tenant}: {check.entries} entries, BROKEN at {check.broken_at}: {check.reason}")
        return
    gone = f", {check.sealed} sealed off before" if check.sealed else ""
    gone += f", {check.erased} without payload" if check.erased else ""
    print(f"{check.tenant}: {check.entries} entries, whole{gone}; head {check.head}")
    for erasure in check.erasures:
        print(f"  {erasure.at[:19]} {erasure.kind} ({erasure.sequence}): {erasure.entries} entries, {erasure.reason}")


@audit_app.command("head")
def head() -> None:
    """Print the head of every chain, to keep where no administrator of this machine can write, and keep it."""
    from service.audit_check import keep_heads

    with open_parts() as parts, parts.sessions() as session:
        for tenant, newest in keep_heads(session, read_settings().reports).items():
            print(f"{tenant} {newest}")


@audit_app.command("list")
def list_entries(
    tenant: Tenant = "demo",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    before: Annotated[int | None, typer.Option(min=1, help="Entries with lower numbers.")] = None,
    kind: Kind = "",
    actor: Actor = "",
    subject: Subject = "",
    outcome: Word = "",
    since: Since = None,
    until: Until = None,
) -> None:
    """The newest decisions, one JSON a line."""
    only = _only(kind, actor, subject, outcome, since, until)
    with open_parts() as parts:
        for entry in parts.audit.entries(tenant, limit=limit, before=before, only=only):
            print(json.dumps(entry, ensure_ascii=False))


@audit_app.command("show")
def show(sequence: Sequence, tenant: Tenant = "demo") -> None:
    """One entry in full."""
    from service.audit_read import find

    with open_parts() as parts, parts.sessions() as session:
        found = find(session, tenant, sequence)
    if found is None:
        raise NotFound("no such entry", field="SEQUENCE", value=sequence)
    print(json.dumps(found[1], ensure_ascii=False, indent=2))


@audit_app.command("replay")
def replay(
    sequence: Sequence,
    given: Annotated[
        Path | None, typer.Option("--input", help="The input as JSON, where it is not kept: application, messages.")
    ] = None,
    tenant: Tenant = "demo",
) -> None:
    """Make a recorded decision again; exit 1 unless it is the same."""
    from service.audit_replay import replay_entry
    from service.discovery import discover

    told = None if given is None else _read_object(given)
    with open_parts() as parts:
        found = replay_entry(parts.registry, parts.sessions, discover(), tenant=tenant, sequence=sequence, given=told)
    _print_replay(found)
    if found.verdict not in ("exact", "unchanged"):
        raise typer.Exit(EXIT_FAILED)


def _read_object(file: Path) -> dict[str, Any]:
    require_file(file, field="--input")
    try:
        told = json.loads(file.read_bytes())
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise InvalidInput("must hold one JSON object", field="--input", value=str(file))
    return told


def _print_replay(found: Replayed) -> None:
    print(f"{found.verdict.upper()}: {found.said}")
    for name, version in found.versions.items():
        print(f"  with {name} {version}")
    for name, then, now in found.differences:
        print(f"  {name} was {then!r}, is {now!r}")


@audit_app.command("export")
def export_trail(
    out: Annotated[Path, typer.Argument(help="The file to write; must not be there yet.")],
    form: Annotated[str, typer.Option("--format", help="csv, jsonl, or fhir: R4 AuditEvents, one a line.")] = "csv",
    tenant: Tenant = "demo",
    kind: Kind = "",
    actor: Actor = "",
    subject: Subject = "",
    outcome: Word = "",
    since: Since = None,
    until: Until = None,
) -> None:
    """Write the entries of a period to a file; that it was exported is an entry itself."""
    from service.audit_files import export

    if out.exists() or not out.parent.is_dir():
        rule = "is there already" if out.exists() else "must lie in a folder that exists"
        raise InvalidInput(rule, field="OUT", value=str(out), remedy="Name another file.")
    only = _only(kind, actor, subject, outcome, since, until)
    with open_parts() as parts:
        write_whole(out, export(parts.audit, tenant, form=form, only=only, who=operator_of(tenant)).chunks)


@audit_app.command("erase")
def erase_payloads(
    names: Annotated[list[str], typer.Argument(help="Ids of one person or case: customer, application, study, ...")],
    reason: Annotated[str, typer.Option(help="For the trail; nothing of the person.")],
    tenant: Tenant = "demo",
    customer: Annotated[
        bool, typer.Option("--customer", help="The names are customers: what their own keys did goes too.")
    ] = False,
) -> None:
    """Erase what the trail says of a person or case, in every vertical; the chain stays whole."""
    from service.audit_retention import erase

    with open_parts() as parts:
        who = operator_of(tenant)
        done = erase(parts.audit, tenant, names=names, reason=reason, customer=customer, who=who)
    print(f"{done.entries} entries lost their payload")
    if done.older:
        print(f"{done.older} entries of an older schema name it still: they go when their time is sealed off")


@audit_app.command("retain")
def retain(tenant: Annotated[str | None, typer.Option(help="One tenant only.")] = None) -> None:
    """Carry out TRIVIUM_AUDIT_RETENTION: payloads past their time are erased, rows past theirs sealed off."""
    from service.audit_retention import expire, seal

    policy, now = read_settings().retention_days, datetime.now(UTC)
    if not policy:
        raise InvalidInput(
            "is not set: everything is kept", field="TRIVIUM_AUDIT_RETENTION", remedy="Say kind=days,kind=days."
        )
    with open_parts() as parts:
        for name in [tenant] if tenant else parts.audit.tenants():
            who = operator_of(name)
            sealed = seal(parts.audit, name, policy, now=now, who=who)
            expired = expire(parts.audit, name, policy, now=now, who=who)
            print(f"{name}: {sealed} sealed off, {expired} payloads erased")


def _only(
    kind: str, actor: str, subject: str, outcome: str, since: datetime | None, until: datetime | None
) -> AuditFilter:
    from service.audit_read import AuditFilter, in_utc

    return AuditFilter(kind, actor, subject, outcome, since=in_utc(since), until=in_utc(until))
