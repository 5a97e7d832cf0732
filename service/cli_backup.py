"""The commands that keep data safe: backup and restore. Ignores what a backup holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.auth import OPERATOR
from service.cli_admin import EXIT_FAILED
from service.cli_parts import open_parts
from service.progress import show_progress
from service.settings import read_settings
from verticals.contract import Decision

backup_app = typer.Typer()


@backup_app.command()
def backup(file: Annotated[Path, typer.Argument(help="Where to; must not be there yet.")]) -> None:
    """Database, models and reports as one file; the service may go on."""
    from service.backup import back_up

    with show_progress() as on_progress:
        made = back_up(read_settings(), file, progress=on_progress)
    digest = hashlib.sha256(json.dumps(dict(made.files), sort_keys=True).encode()).hexdigest()
    with open_parts() as parts:
        told = {"files": len(made.files), "schema": made.revision}
        parts.audit.record_everywhere(Decision("backup.make", file.name[:128], digest, told, "none"), by=OPERATOR)
    size = file.stat().st_size / 2**20
    Console(soft_wrap=True).print(f"{file}: {size:.1f} MiB, {len(made.files)} file(s), schema {made.revision}.")


@backup_app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `trivium backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put what is there aside. Stop the service first.")
    ] = False,
) -> None:
    """Bring a backup back and verify every decision chain; exit 1 when one is broken."""
    from service.backup import restore as bring_back

    with show_progress() as on_progress:
        checks = bring_back(read_settings(), file, replace=replace, progress=on_progress)
    broken = [check for check in checks if check.broken_at is not None]
    for check in broken:
        print(f"{check.tenant}: BROKEN at {check.broken_at}: {check.reason}")
    print(f"Restored; {sum(check.entries for check in checks)} decisions of {len(checks)} tenants verified.")
    if broken:
        raise typer.Exit(EXIT_FAILED)
