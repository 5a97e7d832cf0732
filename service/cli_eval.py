"""`trivium eval`: the nightly, its runs and its pinned baseline. Ignores how suites run: see `service/evals`.

Exit codes: 0 all is well, 1 something got worse or was lost, 2 a suite failed or ran out of time, 130 interrupted; a
call that is wrong ends with 64 and has run nothing.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape as plain
from sqlalchemy.exc import OperationalError

from service.cli_admin import Tenant
from service.cli_parts import Parts, key_in, open_parts, require_url
from service.progress import show_progress
from service.settings import Settings, read_settings
from verticals.contract import Conflict, TriviumError

if TYPE_CHECKING:
    from service.evals.live import LiveApi
    from service.evals.nightly import Bench, NightlyResult

EXIT_USAGE = 64  # as sysexits.h has it
MAX_MINUTES = 24 * 60

eval_app = typer.Typer(help="Every evaluation suite, one report.", invoke_without_command=True)
baseline_app = typer.Typer(help="The run that later ones are held against, besides the last.", no_args_is_help=True)
eval_app.add_typer(baseline_app, name="baseline")


@eval_app.callback()
def evaluate(
    context: typer.Context,
    only: Annotated[
        list[str] | None, typer.Option(help="core, a vertical or a plug-in; may be repeated. Without: all.")
    ] = None,
    tenant: Tenant = "demo",
    url: Annotated[str | None, typer.Option(help="Judge the live API at this address instead.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="File whose first line is the key for --url.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests that --url gets at once.")] = 4,
    suite_minutes: Annotated[float, typer.Option(min=0.01, max=MAX_MINUTES, help="The most that a suite takes.")] = 30,
    minutes: Annotated[float, typer.Option(min=0.01, max=MAX_MINUTES, help="The most that the run takes.")] = 60,
    memory_mb: Annotated[int | None, typer.Option(min=64, help="The most memory of a suite's process, MiB.")] = None,
    ray: Annotated[str, typer.Option(help="Run suites on Ray: a cluster's address, or `local` for this machine.")] = "",
    fresh: Annotated[bool, typer.Option(help="Begin anew, even if a run of the last day was stopped.")] = False,
) -> None:
    """Run every evaluation suite, compare with other runs and write one report; go on with a run that was stopped."""
    if context.invoked_subcommand is not None:
        return
    from service.audit_check import keep_heads
    from service.evals.declare import benches
    from service.evals.nightly import EXIT_FAILED, Limits, Night, find_git_version, run_nightly

    try:
        settings = read_settings()
        live = _live(url, key_file, concurrency)
        with (
            open_parts(settings) as parts,
            _alone(settings),
            show_progress() as on_progress,
            _benches(ray, memory_mb) as (make, at_once),
        ):
            night = Night(
                sessions=parts.sessions,
                tenant=tenant,
                out_dir=settings.reports,
                models={} if live else _models(settings, parts),
                git_version=find_git_version(Path.cwd()),
                target=live.url if live else None,
                limits=Limits(suite_s=suite_minutes * 60, run_s=minutes * 60),
                at_once=at_once,
            )
            chosen = benches(settings, tenant=tenant, live=live, make=make)
            result = run_nightly(chosen, night, progress=on_progress, only=only or (), fresh=fresh)
            with parts.sessions() as session:
                keep_heads(session, settings.reports)
    except TriviumError as error:
        Console(stderr=True, soft_wrap=True).print(f"[red]error[/red] {plain(str(error))}", highlight=False)
        raise typer.Exit(EXIT_USAGE) from None
    except OperationalError:  # its text may quote a statement; the run goes on with the next call
        Console(stderr=True).print("error TRIVIUM_DATABASE_URL: the database is busy or away.", highlight=False)
        raise typer.Exit(EXIT_FAILED) from None
    _print(result)
    if settings.eval_webhook_url:
        _send(result, settings)
    raise typer.Exit(result.exit_code)


@eval_app.command("runs")
def runs(tenant: Tenant = "demo") -> None:
    """The runs of the last weeks, newest first."""
    from service.evals.history import read_runs

    with open_parts() as parts, parts.sessions() as session:
        for run, is_baseline in read_runs(session, tenant=tenant, limit=50):
            code = "" if run.exit_code is None else f" exit code {run.exit_code}"
            mark = " (baseline)" if is_baseline else ""
            print(f"{run.id}  {run.status}{code}  {run.target or ''}{mark}".rstrip())


@eval_app.command("schema")
def schema() -> None:
    """The JSON Schema of the JSON report."""
    from service.evals.report_schema import Report

    print(json.dumps(Report.model_json_schema(), indent=2))


@baseline_app.command("set")
def set_baseline(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id; `trivium eval runs` lists them.")],
    tenant: Tenant = "demo",
) -> None:
    """Hold later runs against this one, besides the last; another call moves the pin."""
    from service.evals.store import pin_baseline

    with open_parts() as parts, parts.sessions.begin() as session:
        pin_baseline(session, run, tenant=tenant, now=datetime.now(UTC))
    print(f"Later runs of {tenant} are held against {run}.")


@baseline_app.command("clear")
def clear_baseline(tenant: Tenant = "demo") -> None:
    """Hold later runs against the last one alone."""
    from service.evals.store import unpin_baseline

    with open_parts() as parts, parts.sessions.begin() as session:
        had_one = unpin_baseline(session, tenant=tenant)
    print("The baseline is cleared." if had_one else "There was no baseline.")


def _live(url: str | None, key_file: Path | None, concurrency: int) -> LiveApi | None:
    from service.evals.live import LiveApi
    from verticals.contract import InvalidInput

    if url is None:
        if key_file is not None:
            raise InvalidInput("goes with --url", field="--key-file")
        return None
    address = require_url(url)
    if key_file is None:
        raise InvalidInput("needs --key-file, a file with an API key", field="--url")
    return LiveApi(address, key_in(key_file), concurrency)


def _models(settings: Settings, parts: Parts) -> dict[str, str]:
    """What is judged, as far as it is known before anything is loaded; a stopped run goes on only with the same."""
    core = f"{settings.model.name if settings.model else 'embedded'}, {settings.precision}"
    return {"core": core} | {card.name: card.version for card in parts.registry.cards()}


@contextmanager
def _benches(ray: str, memory_mb: int | None) -> Iterator[tuple[Callable[..., Bench], int]]:
    """What makes a domain's bench, and how many suites run at once: one after another here, on Ray all that fit."""
    from service.evals.isolation import ProcessBench
    from service.evals.on_ray import RayBench
    from service.ray_cluster import num_processors, ray_cluster

    if not ray:
        yield partial(ProcessBench, memory_mb=memory_mb), 1
        return
    with ray_cluster(ray) as cluster:
        yield partial(RayBench, ray=cluster, memory_mb=memory_mb), num_processors(cluster)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One run at a time in this home: what is unfinished belongs to nobody who still works on it."""
    settings.reports.mkdir(parents=True, exist_ok=True)
    with (settings.reports / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict("another evaluation runs here", field="TRIVIUM_HOME", remedy="Wait for its end.") from None
        yield


def _print(result: NightlyResult) -> None:
    console = Console()
    if result.is_resumed:
        console.print("Went on with a run that was stopped.")
    for change in result.comparison.suites:
        state = change.result.reason or ", ".join(f"{m.name} {m.value:.4g}" for m in change.result.metrics)
        line = f"{change.result.domain}/{change.result.name}: {change.result.status}  {state}"
        console.print(plain(line), highlight=False, soft_wrap=True)
    alarms = result.comparison.num_alarms
    told = f"{alarms} alarm{'' if alarms == 1 else 's'}. Report: {result.html_path}"
    console.print(told, highlight=False, soft_wrap=True)


def _send(result: NightlyResult, settings: Settings) -> None:
    import httpx

    from service.evals.summary import send_summary

    with httpx.Client(trust_env=False) as client:
        if reason := send_summary(result.report, settings, client=client):
            Console(stderr=True).print(f"The summary was not sent: {reason}", highlight=False, soft_wrap=True)
