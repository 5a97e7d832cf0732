"""A record is read for its own patient only; nothing of it is stored, and the audit row has its hash alone."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from pydicom import dcmread

from verticals.contract import InvalidInput


@pytest.fixture
def study(desk: Any, ct: bytes) -> Any:
    dataset = dcmread(io.BytesIO(ct))
    dataset.PatientID = "P-17"
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return desk.ingest(buffer.getvalue())


def bundle(identifier: str) -> str:
    patient = {"resourceType": "Patient", "id": "1", "identifier": [{"value": identifier}]}
    problem = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "code": {"text": "Pneumothorax"}}
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": patient}, {"resource": problem}]})


def test_a_bundle_of_the_studys_patient_is_read(desk: Any, study: Any) -> None:
    answer = desk.call("read_record", study_id=study.study_id, patient_id="P-17", record=bundle("P-17"))

    assert (answer.indication, answer.medicines) == ("Problems: Pneumothorax.", [])
    assert [code.value for code in answer.problems[0].codes] == ["36118008", "RID5352"]
    decision = desk.recorder.decisions[-1]
    assert (decision.kind, decision.subject) == ("medical.record", study.study_id)
    assert "P-17" not in repr(decision)
    assert "neumothorax" not in repr(decision)


@pytest.mark.parametrize(("patient_id", "identifier"), [("P-18", "P-18"), ("P-17", "P-18"), ("P-18", "P-17")])
def test_another_patients_record_is_refused_and_nothing_is_audited(
    desk: Any, study: Any, patient_id: str, identifier: str
) -> None:
    before = len(desk.recorder.decisions)

    with pytest.raises(InvalidInput, match="patient") as refused:
        desk.call("read_record", study_id=study.study_id, patient_id=patient_id, record=bundle(identifier))

    assert len(desk.recorder.decisions) == before
    assert "P-1" not in str(refused.value)
