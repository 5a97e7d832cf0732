"""The `trivium` command. Ignores how things are done: each command is a few calls into the kit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.markup import escape as plain
from sqlalchemy.exc import OperationalError

from service.auth import Caller
from service.cli_admin import EXIT_FAILED, Tenant, doctor_app, keys_app
from service.cli_audit import audit_app
from service.cli_backup import backup_app
from service.cli_eval import eval_app
from service.cli_finance import finance_app
from service.cli_medical import medical_app
from service.cli_models import models_app
from service.cli_parts import require_file
from service.cli_quantize import quantize_app
from service.progress import show_progress
from service.settings import Settings, read_settings
from verticals.broken_rules import first_of
from verticals.contract import Artifact, ArtifactStream, InvalidInput, NotFound, TriviumError, UploadedFile

if TYPE_CHECKING:
    from service.kit import Kit

EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="trivium",
    help="One Mixture-of-Experts core, three professions: finance, medicine, customer support.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(audit_app, name="audit")
app.add_typer(keys_app, name="keys")
app.add_typer(eval_app, name="eval")
app.add_typer(finance_app, name="finance")
app.add_typer(medical_app, name="medical")
app.add_typer(models_app, name="models")
app.add_typer(doctor_app)
app.add_typer(backup_app)
app.add_typer(quantize_app)
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write here instead of to standard output.")]


def main() -> None:
    """Entry point: user errors become one line on standard error, never a traceback."""
    try:
        app()
    except TriviumError as error:
        _fail(str(error))
    except ValidationError as error:
        field, rule = first_of(error, whole="input")
        _fail(f"{field}: {rule}.")
    except OperationalError:  # its text may quote a statement
        _fail("TRIVIUM_DATABASE_URL: the database is busy or away. See that it runs and answers; then run this again.")
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted. Nothing is half-written; run the command again to go on.")
        sys.exit(EXIT_INTERRUPTED)


def _fail(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[red]error[/red] {plain(message)}", highlight=False)
    sys.exit(EXIT_FAILED)


@contextmanager
def open_kit(settings: Settings | None = None) -> Iterator[Kit]:
    """The whole kit, in this process; progress goes to standard error, so that output can be piped."""
    from service.monitoring import configure_logging
    from service.wiring import build

    settings = settings or read_settings()
    configure_logging(settings.log_level, json=settings.log_json)
    with show_progress() as on_progress:
        kit = build(settings, on_progress=on_progress)
    try:
        yield kit
    finally:
        kit.close()


def _invoke(kit: Kit, vertical: str, operation: str, request: BaseModel, *, tenant: str) -> Any:
    caller = Caller(tenant=tenant, key_id="cli", scopes=("*",))
    return kit.invoke(vertical, operation, request, caller=caller, request_id="cli")


def _write(content: bytes | str, out: Path | None) -> None:
    data = content.encode() if isinstance(content, str) else content
    if out is None:
        sys.stdout.buffer.write(data if data.endswith(b"\n") else data + b"\n")
    else:
        out.write_bytes(data)


def _read(file: Path) -> UploadedFile:
    require_file(file)
    return UploadedFile(filename=file.name, content=file.read_bytes())


@app.command()
def up(
    dashboards: Annotated[bool, typer.Option(help="Start the Streamlit pages too.")] = True,
) -> None:
    """Prepare what is missing, then run the API and the dashboards until Ctrl-C."""
    from service.memory import share_arenas
    from service.up import check_ports, serve

    share_arenas()
    settings = read_settings()
    check_ports(settings)
    with open_kit(settings) as kit:
        serve(kit, dashboards=dashboards, on_ready=_welcome)
    Console(stderr=True).print("Stopped.")


def _welcome(api_url: str, page_url: str | None, key: str | None) -> None:
    console = Console()
    console.print()
    if page_url:
        console.print(f"  Dashboards  [bold]{page_url}[/bold]")
    console.print(f"  API         [bold]{api_url}[/bold]   (schema and examples: {api_url}/docs)")
    if key:
        console.print(f"  Demo key    [bold]{key}[/bold]   (valid for a day)", soft_wrap=True)
        console.print("\n  Try:", highlight=False)
        header = f"-H 'Authorization: Bearer {key}'"
        question = '{"model":"trivium-support","messages":[{"role":"user","content":"How long can I return a lamp?"}]}'
        json_header = "-H 'Content-Type: application/json'"
        console.print(
            f"  curl {api_url}/v1/chat/completions {header} {json_header} -d '{question}'",
            soft_wrap=True,
            highlight=False,
        )
    console.print("\n  Ctrl-C stops both.\n", highlight=False)


@app.command()
def prepare() -> None:
    """Prepare schema, models and demo data, and stop. `up` does this too."""
    with open_kit() as kit:
        Console().print(f"Ready: {', '.join(kit.verticals)}.")


@app.command()
def chat(tenant: Tenant = "demo") -> None:
    """Talk to the support agent in the terminal; an empty line or Ctrl-D ends."""
    from verticals.support.schemas import ChatRequest, Message

    console = Console()
    messages: list[Message] = []
    with open_kit() as kit:
        while True:
            try:
                asked = console.input("[bold]you[/bold] ").strip()
            except EOFError:
                return
            if not asked:
                return
            messages.append(Message(role="user", content=asked))
            answer = _say(console, _invoke(kit, "support", "chat", ChatRequest(messages=messages), tenant=tenant))
            messages.append(Message(role="assistant", content=answer))


def _say(console: Console, events: Iterator[Any]) -> str:
    """Print an answer as it comes, then its sources; returns the text."""
    answer, sources = "", []
    console.print("[bold]agent[/bold] ", end="")
    for event in (wrapped.root for wrapped in events):
        if event.type == "delta":
            answer += event.text
            console.print(plain(event.text), end="", highlight=False, soft_wrap=True)
        elif event.type == "sources":
            sources = event.sources
        elif event.type == "ticket":
            console.print(f"\n[dim]ticket {event.ticket.ticket_id}: {plain(event.ticket.subject)}[/dim]", end="")
    console.print()
    for source in sources:
        if f"[{source.number}]" in answer:
            where = " › ".join(part for part in (source.title, source.heading) if part)
            console.print(f"[dim]  {plain(f'[{source.number}] {where}')}[/dim]", highlight=False)
    return answer


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="A CSV of applications, or one application as JSON.")],
    out: Out = None,
    tenant: Tenant = "demo",
) -> None:
    """Score credit applications: CSV in, CSV out; or one JSON."""
    operation = "score" if file.suffix.lower() == ".json" else "score_batch"
    upload = _read(file)
    with open_kit() as kit:
        model = kit.operation("finance", operation).request
        request = (
            model.model_validate_json(upload.content)
            if operation == "score"
            else model.model_validate({"file": upload})
        )
        _answer(_invoke(kit, "finance", operation, request, tenant=tenant), out)


@app.command()
def report(
    file: Annotated[Path, typer.Argument(help="A DICOM file, or a fundus photograph as JPEG or PNG.")],
    laterality: Annotated[str | None, typer.Option(help="L or R: the photographed eye, which a picture needs.")] = None,
    export: Annotated[
        str | None, typer.Option(help="sr, fhir, pdf, text or another format of the API instead of the study as JSON.")
    ] = None,
    out: Out = None,
    tenant: Tenant = "demo",
) -> None:
    """Draft an imaging report from a DICOM file. Research software, not a medical device."""
    upload = _read(file)
    with open_kit() as kit:
        ingest = kit.operation("medical", "ingest_study").request.model_validate(
            {"file": upload, "laterality": laterality}
        )
        study = _invoke(kit, "medical", "ingest_study", ingest, tenant=tenant)
        if export is None:
            _answer(study, out)
            return
        wanted = kit.operation("medical", "export_report").request.model_validate(
            {"report_id": study.report.report_id, "format": export}
        )
        _answer(_invoke(kit, "medical", "export_report", wanted, tenant=tenant), out)


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="A folder of articles: Markdown, HTML, PDF, DOCX, CSV, JSON.")],
    tenant: Tenant = "demo",
) -> None:
    """Add a folder of articles to the knowledge base; unchanged and doubled ones are skipped, bad ones reported."""
    from retrieval.ingest import FORMATS, read_folder
    from verticals.support.ingesting import ingest as take_in
    from verticals.support.ingesting import open_guard

    if not folder.is_dir():
        raise NotFound("must be a folder", field="DIR", value=str(folder))
    console = Console()
    with open_kit() as kit, show_progress() as on_progress:
        documents, problems = read_folder(folder, suffixes=FORMATS, on_progress=on_progress)
        knowledge = kit.resources.retriever
        guard = open_guard(knowledge.embedder, kit.sessions)
        done = take_in(knowledge, guard, documents, tenant=tenant, on_progress=on_progress)
    console.print(f"added {done.added}, replaced {done.replaced}, unchanged {done.unchanged}", highlight=False)
    for same in done.duplicates:
        console.print(f"[dim]duplicate[/dim] {plain(f'{same.doc_id} says what {same.kept} says')}", highlight=False)
    for problem in (*problems, *done.skipped):
        console.print(f"[yellow]skipped[/yellow] {plain(str(problem))}", highlight=False)
    if problems or done.skipped:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def call(
    vertical: str,
    operation: str,
    body: Annotated[str, typer.Argument(help="The request as JSON, or @FILE.")] = "{}",
    file: Annotated[Path | None, typer.Option(help="The file of an operation that takes one.")] = None,
    out: Out = None,
    tenant: Tenant = "demo",
) -> None:
    """Any operation of any vertical, by name; answers as JSON, a stream as one JSON a line."""
    text = Path(body[1:]).read_text() if body.startswith("@") else body
    upload = None if file is None else _read(file)
    with open_kit() as kit:
        model = kit.operation(vertical, operation).request
        if upload is None:
            request = model.model_validate_json(text)
        else:
            takes = [
                name
                for name, field in model.model_fields.items()
                if field.annotation in (UploadedFile, list[UploadedFile])
            ]
            if not takes:
                raise InvalidInput("this operation takes no file", field="--file")
            one = model.model_fields[takes[0]].annotation is UploadedFile
            request = model.model_validate(json.loads(text) | {takes[0]: upload if one else [upload]})
        _answer(_invoke(kit, vertical, operation, request, tenant=tenant), out)


def _answer(found: Any, out: Path | None) -> None:
    if isinstance(found, Artifact):
        _write(found.content, out)
    elif isinstance(found, ArtifactStream):
        _write(b"".join(found.chunks), out)
    elif isinstance(found, BaseModel):
        _write(found.model_dump_json(indent=2), out)
    else:
        _write("\n".join(event.model_dump_json() for event in found), out)


@app.command()
def mcp() -> None:
    """Offer search and tickets to one agent over the Model Context Protocol, on standard input and output."""
    from service.cli_mcp import serve_mcp

    with open_kit() as kit:
        serve_mcp(kit)


if __name__ == "__main__":
    main()
