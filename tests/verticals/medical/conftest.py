"""A medical desk on a temporary SQLite file, with a recorder that keeps what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from tests.databases import migrated_engine
from tests.verticals.medical.orthanc import Orthanc, running_orthanc
from verticals.contract import Context, Decision, UploadedFile
from verticals.medical import VERTICAL, schemas, tables  # noqa: F401 - tables declares what create_all makes
from verticals.medical.geometry import Array
from verticals.medical.handlers import build
from verticals.medical.intake import Intake
from verticals.medical.probes import pydicom_file
from verticals.medical.receiving.queue import Queue


@dataclass
class Recorder:
    """Keeps decisions; fails when told to, to see what a failing audit trail leaves behind."""

    decisions: list[Decision] = field(default_factory=list)
    sessions: list[Session | None] = field(default_factory=list)
    fails: bool = False

    def __call__(self, *decisions: Decision, session: Session | None = None) -> None:
        if self.fails:
            raise RuntimeError("the audit trail is full")
        self.decisions += decisions
        self.sessions.append(session)


class SeesTextInStripes:
    """A reader that costs nothing: it takes a row of a hundred or more alternating pixels for a name."""

    version = "stripes@1"

    def read(self, grey_HW: Array) -> list[tuple[str, tuple[int, int, int, int]]]:
        step = np.abs(np.diff(grey_HW.astype(int), axis=1)) == 255
        rows = np.flatnonzero(step.sum(axis=1) >= 100)
        return [("MUSTERMANN", (0, int(rows[0]), grey_HW.shape[1] - 1, int(rows[-1])))] if len(rows) else []


@dataclass
class Desk:
    """The handlers as one tenant sees them."""

    engine: Engine
    recorder: Recorder
    handlers: Any
    resources: Any
    tenant: str = "hospital"

    @property
    def context(self) -> Context:
        return Context(tenant=self.tenant, actor="key-1", request_id="r", record=self.recorder)

    def call(self, operation: str, **fields: Any) -> Any:
        request = next(op.request for op in VERTICAL.operations if op.name == operation)
        return self.handlers[operation](request.model_validate(fields), self.context)

    def ingest(self, content: bytes, **fields: Any) -> schemas.StudyResponse:
        answer = self.call("ingest_study", file=UploadedFile(filename="x.dcm", content=content), **fields)
        assert isinstance(answer, schemas.StudyResponse)
        return answer

    def stored_image(self) -> bytes:
        """The one object that is stored."""
        with self.engine.connect() as connection:
            return bytes(connection.exec_driver_sql("SELECT dicom FROM medical_instances").scalar_one())

    def as_tenant(self, tenant: str) -> Desk:
        return Desk(self.engine, self.recorder, self.handlers, self.resources, tenant)

    def rebuilt(self, reader: Any = None) -> Desk:
        """The same tables behind handlers that are built anew, from what `resources` says now."""
        made = build(self.resources, reader=reader or SeesTextInStripes())
        return Desk(self.engine, self.recorder, made, self.resources, self.tenant)

    def complete(self, report: schemas.ReportResponse, **changes: str) -> schemas.ReportResponse:
        """Fill every blank."""
        filled = {"findings": "No fracture.", "impression": "Normal examination."} | changes
        sections = report.sections.model_copy(update=filled)
        answer = self.call(
            "edit_report", report_id=report.report_id, sections=sections, expected_version=report.version
        )
        assert isinstance(answer, schemas.ReportResponse)
        return answer

    def sign(self, report: schemas.ReportResponse, **changes: Any) -> schemas.ReportResponse:
        fields = {"signer": "Dr. A. Reader", "attest": True, "expected_version": report.version} | changes
        answer = self.call("sign_report", report_id=report.report_id, **fields)
        assert isinstance(answer, schemas.ReportResponse)
        return answer


class EmptyRegistry:
    """`verticals.contract.ModelRegistry` where nothing is registered: what is packaged serves."""

    def load(self, name: str, version: str | None = None) -> None:
        return None


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    engine = migrated_engine(tmp_path)
    resources: Any = SimpleNamespace(
        sessions=sessionmaker(engine),
        data_dir=None,
        chat_model=None,
        max_study_bytes=2**30,
        registry=EmptyRegistry(),
        encoder_dir=None,
    )
    yield Desk(engine, Recorder(), build(resources, reader=SeesTextInStripes()), resources)
    engine.dispose()


@pytest.fixture
def queue(desk: Desk) -> Queue:
    """Where the desk's objects arrive from elsewhere."""
    return Queue(Intake(desk.resources.sessions, SeesTextInStripes(), desk.resources.max_study_bytes, None))


@pytest.fixture
def ct() -> bytes:
    return pydicom_file("CT_small.dcm")


@pytest.fixture
def mr() -> bytes:
    return pydicom_file("MR_small.dcm")


@pytest.fixture(scope="session")
def _orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as started:
        yield started


@pytest.fixture
def orthanc(_orthanc: Orthanc) -> Orthanc:
    """A real PACS on loopback, empty at the start of each test; skips without the binary."""
    _orthanc.clear()
    return _orthanc
