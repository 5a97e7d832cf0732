"""The finance commands: files scored, decisions made again, records checked, models exported. No language model."""

from __future__ import annotations

import io
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from service.cli_admin import EXIT_FAILED, Tenant
from service.cli_fraud import fraud_app
from service.cli_parts import note_model, open_parts, require_file, write_whole
from service.cli_promotion import promotion_app
from service.progress import show_progress
from service.settings import read_settings
from verticals.contract import InvalidInput, NotFound, OpenFile, Progress

finance_app = typer.Typer(help="The credit models.", no_args_is_help=True)
finance_app.add_typer(fraud_app)
finance_app.add_typer(promotion_app)


@finance_app.callback()
def finance() -> None:
    """The credit models."""


@finance_app.command("export-onnx")
def export_onnx(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for scorecard.onnx and challenger.onnx.")],
) -> None:
    """Write the models in force as ONNX graphs, checked against ours on the development sample."""
    from service.registry import FileRegistry
    from verticals.finance.exports.onnx_graph import export_active

    exports = export_active(FileRegistry(read_settings().home / "registry"))
    out.mkdir(parents=True, exist_ok=True)
    for export in exports:
        (out / export.file_name).write_bytes(export.content)
        print(f"{export.file_name}: version {export.version}, at most {export.max_difference:.1g} from ours")


@finance_app.command()
def batch(
    file: Annotated[Path, typer.Argument(help="Applications: CSV, or an Arrow IPC stream. Of any length.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The same with results; written whole or not at all.")],
    tenant: Tenant = "demo",
    ray: Annotated[
        str, typer.Option(help="Score on Ray: a cluster's address, or `local` for one on this machine.")
    ] = "",
) -> None:
    """Score a file of applications; bad rows are reported in its `error` column, the decisions are recorded."""
    from service.ray_cluster import ray_map
    from verticals.finance.handlers import Finance
    from verticals.finance.schemas import BatchRequest

    require_file(file)
    if out.exists() and out.samefile(file):
        raise InvalidInput("must be another file than FILE", field="--out", value=str(out))
    with (
        open_parts() as parts,
        show_progress() as on_progress,
        file.open("rb") as source,
        ray_map(ray) if ray else nullcontext(map) as run,
    ):
        counted = _Counted(source, file.stat().st_size, on_progress)
        request = BatchRequest(file=OpenFile.over(io.BufferedReader(counted), filename=file.name))
        answer = Finance(parts.registry, parts.sessions).score_batch(request, parts.context(tenant), run=run)
        write_whole(out, answer.chunks)


@finance_app.command("replay")
def replay_decision(
    application_id: Annotated[str, typer.Argument(help="The id under which it was scored.")],
    file: Annotated[Path, typer.Argument(help="The application as JSON, given again.")],
    tenant: Tenant = "demo",
) -> None:
    """Make every recorded decision about an application again; exit 1 if one differs in a bit."""
    from verticals.finance.handlers import Finance
    from verticals.finance.records import ONE, records_of_files
    from verticals.finance.replay import replay
    from verticals.finance.schemas import ScoreRequest

    require_file(file)
    application = ScoreRequest.model_validate_json(file.read_bytes())
    exact = True
    with open_parts() as parts:
        policies = Finance(parts.registry, parts.sessions).policies
        policy_of = partial(policies.get, tenant)
        entries = list(parts.audit.of_kind(tenant, ONE, subject=application_id))
        with parts.sessions() as session:
            entries += records_of_files(session, tenant, application_id)
        if not entries:
            raise NotFound("has no recorded decision", field="APPLICATION_ID", value=application_id)
        for entry in entries:
            found = replay(parts.registry, entry, application, policy_of=policy_of)
            told = "made again to the bit" if found.is_exact else "ANOTHER APPLICATION: its fingerprint differs"
            if found.differences:
                told = "DIFFERS: " + "; ".join(f"{n} was {then!r}, is {now!r}" for n, then, now in found.differences)
            print(f"{entry['sequence']} of {entry['at'][:19]} by {entry['model_version']}: {told}")
            exact &= found.is_exact
    if not exact:
        raise typer.Exit(EXIT_FAILED)


@finance_app.command("train-sources")
def train_sources(
    file: Annotated[Path, typer.Argument(help="CSV: an application's fields, customer, date, default (1 = bad).")],
    tenant: Tenant = "demo",
) -> None:
    """Train what history, text and document add to the score on own outcomes; it serves from the next start on."""
    from service.wiring import open_embedder
    from verticals.finance.sources.outcomes import register_outcomes

    require_file(file)
    with open_parts() as parts:
        embedder = open_embedder(read_settings()).name
        card = register_outcomes(parts.registry, parts.sessions, tenant, file.read_bytes(), embedder_name=embedder)
        note_model(parts, card)
    gap, low, high = card.metrics["AUC over the champion, out of fold"]
    print(f"{card.name}@{card.version}: AUC {gap:+.4f} ({low:+.4f} to {high:+.4f}) over the champion, out of fold")


@finance_app.command()
def verify(tenant: Tenant = "demo") -> None:
    """Compare the records of scored files with the audit trail; names every record that was changed, and exits 1."""
    from verticals.finance.records import CHUNK, find_edited

    with open_parts() as parts:
        check = parts.audit.verify(tenant)
        told = [f"the audit trail is BROKEN at {check.broken_at}: {check.reason}"] if check.broken_at else []
        with parts.sessions() as session:
            told += find_edited(session, tenant, list(parts.audit.of_kind(tenant, CHUNK)))
    for line in told or ["the records are as they were written"]:
        print(line)
    if told:
        raise typer.Exit(EXIT_FAILED)


class _Counted(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, source: BinaryIO, size: int, on_progress: Progress) -> None:
        self._source, self._size, self._on_progress, self._read = source, size, on_progress, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        found = self._source.read(len(buffer))
        buffer[: len(found)] = found
        self._read += len(found)
        self._on_progress("Scoring", min(self._read / max(self._size, 1), 1.0))
        return len(found)
