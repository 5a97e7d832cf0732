"""The medical commands: receive studies, fetch one from a PACS, send a signed report. No model in the first two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from service.cli_admin import EXIT_FAILED, Tenant
from service.cli_few_shot import few_shot_app
from service.cli_fundus import fundus_app
from service.cli_parts import open_parts, print_card, put_in_force
from service.progress import show_progress
from service.settings import Settings, read_settings
from verticals.contract import Context, InvalidInput

if TYPE_CHECKING:
    from verticals.medical.intake_schemas import IngestFilesResponse
    from verticals.medical.receiving.pacs import Pacs
    from verticals.medical.receiving.queue import Queue

medical_app = typer.Typer(help="Imaging studies. Research software, not a medical device.", no_args_is_help=True)
medical_app.add_typer(fundus_app)
medical_app.add_typer(few_shot_app, name="few-shot")
StudyUid = Annotated[str, typer.Argument(help="Study Instance UID, as the PACS knows it.")]


@medical_app.callback()
def medical() -> None:
    """Imaging studies. Research software, not a medical device."""


@medical_app.command()
def receive() -> None:
    """Receive studies until Ctrl-C: C-STORE on TRIVIUM_DICOM_PORT, and the watched TRIVIUM_DICOM_FOLDERS."""
    settings = read_settings()
    if not (settings.dicom_tenants or settings.watched_folders):
        rule = "nothing to receive from: set AE=tenant here, or tenant=folder in TRIVIUM_DICOM_FOLDERS"
        raise InvalidInput(rule, field="TRIVIUM_DICOM_AETS", remedy="docs/medical.md shows both.")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.set())
    with _open(settings) as parts, ExitStack() as stack:
        if settings.dicom_tenants:
            stack.enter_context(_listening(settings, parts))
        for watcher in _watchers(settings, parts, stop):
            watcher.start()
            stack.callback(watcher.join)
            stack.callback(stop.set)  # runs first
        while not stop.wait(1):
            pass
    Console(stderr=True).print("Stopped. What was acknowledged is stored.")


@medical_app.command()
def fetch(
    study_uid: StudyUid,
    prior: Annotated[bool, typer.Option(help="Fetch the patient's newest earlier study too.")] = True,
    tenant: Tenant = "demo",
) -> None:
    """Fetch a study from the PACS (TRIVIUM_PACS_URL); exit 1 if an object of it was refused."""
    settings = read_settings()
    pacs = _pacs(settings)
    with _open(settings) as parts:
        wanted = [earlier] if prior and (earlier := pacs.prior_of(study_uid)) else []
        answers = [pacs.fetch(uid, parts.queue, parts.context(tenant)) for uid in (*wanted, study_uid)]
    for answer in answers:
        _tell(answer)
    if any(answer.refused for answer in answers):
        raise typer.Exit(EXIT_FAILED)


@medical_app.command()
def send(study_uid: StudyUid, tenant: Tenant = "demo") -> None:
    """Send the signed report of a study to the PACS as a DICOM SR, under the identity that the study has there."""
    from service.auth import Caller
    from service.cli import open_kit
    from verticals.contract import Artifact
    from verticals.medical import tables
    from verticals.medical.deidentify import Pseudonyms
    from verticals.medical.report import SIGNED

    settings = read_settings()
    pacs = _pacs(settings)
    with open_kit(settings) as kit:
        pseudonyms = Pseudonyms(tables.tenant_key(kit.sessions, tenant))
        with kit.sessions() as session:
            study = tables.find_study(session, tenant, pseudonyms.uid(study_uid))
            newest = tables.get_report(session, tenant, study_id=study.study_id)
        if newest.state not in SIGNED:
            raise InvalidInput("must be signed before it is sent", field="report_id", value=newest.report_id)
        wanted = kit.operation("medical", "export_report").request.model_validate(
            {"report_id": newest.report_id, "format": "sr"}
        )
        caller = Caller(tenant=tenant, key_id="cli", scopes=("*",))
        made: Any = kit.invoke("medical", "export_report", wanted, caller=caller, request_id="cli")
        assert isinstance(made, Artifact)
        pacs.send(study_uid, made.content, pseudonyms)
    Console().print(f"sent {newest.report_id}, version {newest.version}", highlight=False)


@medical_app.command("train-nodules")
def train_nodules(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="As LUNA16: annotations.csv, candidates.csv, .mhd and .raw or .zraw below."),
    ],
    licence: Annotated[str, typer.Option(help="Of the scans: what the trained model may be used for.")],
) -> None:
    """Train the CT nodule model on marked scans, measure it on held-out ones, and bring it into force.

    It stays a research model: its candidates are shown as unvalidated.
    """
    from verticals.medical.ct.luna import open_luna
    from verticals.medical.ct.model import NAME
    from verticals.medical.ct.training import observe, train

    scans = open_luna(folder)
    with show_progress() as on_progress:
        seen = []
        for i, scan in enumerate(scans):
            on_progress("Reading scans", i / len(scans.scans))
            seen.append(observe(scan))
        told = f"{len(seen)} scans, {sum(len(one.diameters_mm) for one in seen)} nodules, in the shape of LUNA16."
        files, card = train(seen, on_progress, trained_on=told, licence=licence)
    made = put_in_force(NAME, files, card)
    print_card(made, digits=3)


@dataclass(frozen=True)
class _Parts:
    """What receiving needs of the kit."""

    queue: Queue
    context: Callable[[str], Context]  # the receiver acts for the tenant


@contextmanager
def _open(settings: Settings) -> Iterator[_Parts]:
    from service.monitoring import configure_logging
    from verticals.medical.burned_in import RapidOcrReader
    from verticals.medical.chest.registered import chest_reader
    from verticals.medical.fundus.registered import fundus_reader
    from verticals.medical.intake import Intake
    from verticals.medical.part10 import prepare_pydicom
    from verticals.medical.receiving.queue import Queue

    configure_logging(settings.log_level, json=settings.log_json)
    prepare_pydicom()
    settings.home.mkdir(parents=True, exist_ok=True)
    with open_parts(settings) as parts:
        readers = chest_reader(parts.registry), fundus_reader(parts.registry)
        intake = Intake(parts.sessions, RapidOcrReader(), settings.max_study_mb * 2**20, None, readers)
        yield _Parts(Queue(intake), partial(parts.context, actor="receiver"))


@contextmanager
def _listening(settings: Settings, parts: _Parts) -> Iterator[None]:
    from verticals.medical.receiving.scp import Receiver, Titles, tls_context

    tls = None
    if settings.dicom_tls_cert:
        tls = tls_context(settings.dicom_tls_cert, settings.dicom_tls_key, settings.dicom_tls_ca)
    receiver = Receiver(parts.queue, parts.context, Titles(settings.dicom_tenants, settings.dicom_senders))
    port = receiver.start(settings.host, settings.dicom_port, tls=tls)
    titles = ", ".join(settings.dicom_tenants)
    Console(stderr=True).print(f"Listening on {settings.host}:{port} as {titles}. Ctrl-C stops.", highlight=False)
    try:
        yield
    finally:
        receiver.stop()


def _watchers(settings: Settings, parts: _Parts, stop: threading.Event) -> Iterator[threading.Thread]:
    from verticals.medical.receiving.folder import Folder

    for tenant, path in settings.watched_folders:
        folder = Folder(path, parts.queue, parts.context(tenant))
        folder.open()
        Console(stderr=True).print(f"Watching {path} for {tenant}.", highlight=False)
        yield threading.Thread(target=folder.watch, args=(stop, _tell), name=f"watch-{tenant}")


def _pacs(settings: Settings) -> Pacs:
    from verticals.medical.receiving.pacs import connect

    if not settings.pacs_url:
        raise InvalidInput("must be set", field="TRIVIUM_PACS_URL", remedy="Set it to the PACS's DICOMweb root.")
    return connect(settings.pacs_url, user=settings.pacs_user, password=settings.pacs_password.get_secret_value())


def _tell(answer: IngestFilesResponse) -> None:
    """One line an answer, and one a refusal; neither names a file, whose name may be a patient's."""
    console = Console(soft_wrap=True)
    counts = f"stored {answer.stored}, already present {answer.already_present}, held {answer.held}"
    console.print(f"{counts}, refused {answer.refused}: {', '.join(answer.studies) or 'no study'}", highlight=False)
    for each in answer.objects:
        if each.status == "refused":
            console.print(f"  object {each.number}: {each.reason}", highlight=False, markup=False)
