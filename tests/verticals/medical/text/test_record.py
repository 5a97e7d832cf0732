"""A record gives problems and medicines with their assertion, and only of its own patient."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from verticals.contract import InvalidInput
from verticals.medical.text.entities import Entity
from verticals.medical.text.record import Fact, indication, read_record

_DISEASES = re.compile(r"asthma|pneumonia|fever|diabetes|cancer", re.IGNORECASE)
_DRUGS = re.compile(r"salbutamol|metformin|warfarin", re.IGNORECASE)


def entities(sentence: str) -> list[Entity]:
    """A dictionary in the tagger's place."""
    found = [Entity("Disease", *m.span(), m[0]) for m in _DISEASES.finditer(sentence)]
    found += [Entity("Chemical", *m.span(), m[0]) for m in _DRUGS.finditer(sentence)]
    return sorted(found, key=lambda e: e.start)


def read(record: str, patient_id: str = "P-17") -> list[Fact]:
    return read_record(record, patient_id=patient_id, read_entities=entities)


def bundle(*resources: dict[str, Any], identifier: str = "P-17", subject: str = "Patient/1") -> str:
    patient = {"resourceType": "Patient", "id": "1", "identifier": [{"value": identifier}]}
    linked = [{"subject": {"reference": subject}, **resource} for resource in resources]
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": r} for r in (patient, *linked)]})


def condition(text: str, **status: str) -> dict[str, Any]:
    coded = {key: {"coding": [{"code": code}]} for key, code in status.items()}
    return {"resourceType": "Condition", "code": {"text": text}, **coded}


def test_plain_text_is_read_with_its_assertions() -> None:
    facts = read(
        "MRN: P-17\nKnown asthma, on salbutamol. No fever. Possible pneumonia. History of cancer.\nMother: diabetes."
    )

    assert [(f.kind, f.text, f.presence, f.is_history) for f in facts] == [
        ("problem", "asthma", "present", False),
        ("medicine", "salbutamol", "present", False),
        ("problem", "fever", "absent", False),
        ("problem", "pneumonia", "uncertain", False),
        ("problem", "cancer", "present", True),
    ]
    assert indication(facts) == ("Problems: asthma. Possible: pneumonia. History: cancer. Medicines: salbutamol.")


def test_a_bundle_is_read_by_its_codes_and_its_notes() -> None:
    note = {"contentType": "text/plain", "data": base64.b64encode(b"Asthma. Takes warfarin.").decode()}
    facts = read(
        bundle(
            condition("Type 2 diabetes", clinicalStatus="active"),
            condition("Pneumonia", verificationStatus="refuted"),
            condition("Cancer", clinicalStatus="resolved"),
            {"resourceType": "MedicationStatement", "status": "active"}
            | {"medicationCodeableConcept": {"coding": [{"display": "Metformin"}]}},
            {"resourceType": "DocumentReference", "content": [{"attachment": note}]},
        )
    )

    assert indication(facts) == ("Problems: Type 2 diabetes, Asthma. History: Cancer. Medicines: Metformin, warfarin.")


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ("Patient ID: P-18\nAsthma.", "record"),
        (bundle(condition("Asthma"), identifier="P-18"), "record.Patient.identifier"),
        (bundle(condition("Asthma"), subject="Patient/2"), "record.Condition.subject"),
        (json.dumps({"resourceType": "Bundle", "entry": []}), "record.Patient"),
        (json.dumps({"resourceType": "Patient"}), "record.resourceType"),
        ("{broken", "record"),
    ],
)
def test_another_patients_record_and_what_is_none_are_refused(record: str, field: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(field)):
        read(record)


def test_what_is_denied_once_and_stated_later_is_stated() -> None:
    assert [f.presence for f in read("No asthma as a child. Asthma since 2019.")] == ["present"]
