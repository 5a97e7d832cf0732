"""Objects, people and decisions at the same moment: one decision holds, and nothing is called altered that is not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread
from sqlalchemy import update

from tests.intruder import between, intruder
from tests.verticals.medical.conftest import Desk, SeesTextInStripes
from tests.verticals.medical.test_intake import count, send, with_stripes
from verticals.contract import Conflict
from verticals.medical.fewshot import ledger
from verticals.medical.fewshot.ledger import MedicalFewShot
from verticals.medical.handlers import build
from verticals.medical.instance_tables import MedicalHeld, MedicalInstance
from verticals.medical.probes import to_bytes
from verticals.medical.tables import MedicalStudy

BY = {"name": "Dr. A. Reader"}


@pytest.fixture
def other(desk: Desk) -> Iterator[Desk]:
    """Another process on the same database, that waits for no lock."""
    with intruder(desk.engine) as sessions:
        resources = SimpleNamespace(**{**vars(desk.resources), "sessions": sessions})
        made: Any = build(resources, reader=SeesTextInStripes())  # type: ignore[arg-type]
        yield Desk(desk.engine, desk.recorder, made, resources)


def test_an_object_that_is_decided_while_somebody_looks_is_not_called_altered(desk: Desk, other: Desk) -> None:
    held = send(desk, with_stripes()).objects[0].id

    with between(desk.engine, lambda: other.call("discard_held", held_id=held, **BY), after="FROM medical_held"):
        shown = desk.call("show_held", held_id=held)

    assert shown.media_type == "image/png"


def test_of_two_who_decide_about_an_object_at_once_one_is_told(desk: Desk, other: Desk) -> None:
    held = send(desk, with_stripes()).objects[0].id

    def release() -> None:
        with suppress(Conflict):
            other.call("release_held", held_id=held, attest=True, **BY)

    with between(desk.engine, release, after="FROM medical_held"), suppress(Conflict):
        desk.call("discard_held", held_id=held, **BY)

    [left] = desk.call("list_held").objects
    assert (left.state, count(desk, MedicalInstance)) in (("discarded", 0), ("released", 1))


def test_an_object_with_text_that_comes_twice_at_once_is_held_once(desk: Desk, other: Desk) -> None:
    with between(desk.engine, lambda: send(other, with_stripes()), after="FROM medical_held"):
        assert send(desk, with_stripes()).held == 1

    assert count(desk, MedicalHeld) == 1


def test_a_study_keeps_the_worst_verdict_whichever_image_is_stored_last(desk: Desk, other: Desk, ct: bytes) -> None:
    study = send(desk, ct).studies[0]
    second = dcmread(io.BytesIO(ct))
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = f"{second.SOPInstanceUID}.2"

    def grade(sessions: Any, verdict: str) -> None:
        with sessions.begin() as session:
            session.execute(update(MedicalStudy).values(quality_verdict=verdict))

    grade(desk.resources.sessions, "accept")
    # As another image's intake would write it.
    with between(desk.engine, lambda: grade(other.resources.sessions, "reject"), before="sum(medical_instances"):
        assert send(desk, to_bytes(second)).stored == 1

    [entry] = desk.call("list_studies").studies
    assert (entry.study_id, entry.quality) == (study, "reject")


def test_of_two_who_switch_a_finding_at_once_one_is_told(desk: Desk) -> None:
    first = {"tenant": "hospital", "finding": "f", "name": "A", "reason": "", "about": None, "at": datetime.now(UTC)}
    with desk.resources.sessions.begin() as session:
        session.add(MedicalFewShot(number=1, step="enable", version="1" * 12, **first))
    with desk.resources.sessions() as session:
        found = ledger.get_finding(session, "hospital", "f")

    with desk.resources.sessions.begin() as session:
        ledger.switch(session, "hospital", found, "enable", "2" * 12, name="B", reason="")

    with desk.resources.sessions() as session, pytest.raises(Conflict, match="at the same time"):
        ledger.switch(session, "hospital", found, "roll back", None, name="C", reason="")
