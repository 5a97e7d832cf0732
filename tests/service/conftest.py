"""A small kit with one made-up vertical, and a real HTTP server over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from core_model.generation import EngineBusy
from service.api import create_app
from service.kit import Kit
from tests.conftest import served
from tests.fake_kit import make_kit
from verticals.contract import (
    Artifact,
    Conflict,
    Context,
    Decision,
    Handler,
    NotFound,
    Operation,
    Resources,
    UploadedFile,
    Vertical,
)


@pytest.fixture(autouse=True)
def _logging(service_logging: None) -> None:
    """Every test here logs as the service does."""


class Weigh(BaseModel):
    """Asks for the price of a weight."""

    model_config = ConfigDict(extra="forbid")

    weight_kg: float = Field(gt=0, le=100, description="Weight of the parcel.")
    service: str = "standard"


class Price(BaseModel):
    amount_cent: int
    tenant: str


class Parcel(Price):
    customer: str | None


class ParcelById(BaseModel):
    parcel_id: str
    note: str = ""


class Label(BaseModel):
    file: UploadedFile
    copies: int = 1
    content: str = ""  # above the address


class Count(BaseModel):
    to: int = Field(ge=0, description="How far to count; 13 fails in mid-stream, 0 before the first event.")


class Counted(RootModel[int]):
    """One number."""


class Streams:
    """What the streaming handler saw, for the tests."""

    closed = threading.Event()
    sent = 0


def handlers(_resources: Resources) -> Mapping[str, Handler]:
    def weigh(request: Weigh, context: Context) -> Price:
        amount_cent = round(request.weight_kg * 150)
        context.record(
            Decision(
                kind="parcels.weigh",
                subject="parcel-1",
                input_sha256="0" * 64,
                outcome={"amount_cent": amount_cent},
                model_version="tariff-1",
            )
        )
        return Price(amount_cent=amount_cent, tenant=context.tenant)

    def get(request: ParcelById, context: Context) -> Parcel:
        if request.parcel_id == "lost":
            raise NotFound("no such parcel", field="parcel_id", value="lost", remedy="List the parcels.")
        if request.parcel_id == "busy":
            raise EngineBusy("engine: 64 requests wait already. Try again later.")
        if request.parcel_id == "boom":
            raise RuntimeError("Jane Doe's secret")
        amount_cent = len(request.parcel_id + request.note)
        return Parcel(amount_cent=amount_cent, tenant="t", customer=context.customer)

    def label(request: Label, _context: Context) -> Artifact:
        return Artifact(request.content.encode() + request.file.content * request.copies, "text/plain", 'label "x".txt')

    def count(request: Count, _context: Context) -> Iterator[Counted]:
        if request.to == 0:
            raise Conflict("there is nothing to count", field="to", value=0)
        try:
            for number in range(request.to):
                if number == 13:
                    raise RuntimeError("thirteen, says Jane Doe")
                Streams.sent = number
                yield Counted(number)
        finally:
            Streams.closed.set()

    return {"weigh": weigh, "get": get, "label": label, "count": count}


PARCELS = Vertical(
    name="parcels",
    title="Parcels",
    summary="A made-up vertical.",
    operations=(
        Operation("weigh", Weigh, Price, "Price of a weight", "/weigh", examples={"light": {"weight_kg": 1}}),
        Operation("get", ParcelById, Parcel, "A parcel", "/parcels/{parcel_id}", method="GET", for_customers=True),
        Operation("label", Label, Artifact, "Print a label", "/label"),
        Operation("count", Count, Counted, "Count", "/count", streaming=True),
    ),
    build=handlers,
    evals=lambda _resources, _handlers: (),
    demo=lambda _resources, _on_progress: None,
)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return make_kit(tmp_path, {"parcels": PARCELS})


@pytest.fixture
def key(kit: Kit) -> str:
    return kit.keys.issue(tenant="acme", label="test")


@pytest.fixture
def serve() -> Iterator[Callable[[Kit], str]]:
    """Start a real server over a kit; gives its address."""
    with ExitStack() as running:
        yield lambda kit: running.enter_context(served(create_app(kit)))


@pytest.fixture
def url(kit: Kit, serve: Callable[[Kit], str]) -> str:
    return serve(kit)
