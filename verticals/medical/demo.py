"""Demonstration data: pydicom's own CT and MR test files, marked as such. Ignores models: there are none."""

from __future__ import annotations

from pathlib import Path

from pydicom.data import get_testdata_file
from sqlalchemy.orm import Session

from verticals.contract import Context, Decision, Progress, Resources, UploadedFile
from verticals.medical.handlers import build
from verticals.medical.schemas import IngestRequest

FILES = ("CT_small.dcm", "MR_small.dcm")


def demo(resources: Resources, progress: Progress) -> None:
    """Ingest both files for the tenant "demo"; again does nothing, as the same file is the same study."""
    ingest = build(resources)["ingest_study"]
    context = Context(tenant="demo", actor="demo", request_id="demo", record=_unrecorded)
    for i, name in enumerate(FILES):
        progress(f"medical: {name} (test data of pydicom)", i / len(FILES))
        path = get_testdata_file(name, download=False)
        assert isinstance(path, str | Path)  # the two files are part of the pydicom package
        ingest(
            IngestRequest(
                file=UploadedFile(filename=name, content=Path(path).read_bytes()), origin="pydicom-test-data"
            ),
            context,
        )
    progress("medical: ready", 1.0)


def _unrecorded(*_decisions: Decision, session: Session | None = None) -> None:
    """Preparing demonstration data is no decision about anybody: the audit trail starts with the first user."""
