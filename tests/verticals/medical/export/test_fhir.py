"""Findings in FHIR: coded Observations with their place, sizes and device, and who made the version."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from verticals.medical.evidence import EvidenceGraph
from verticals.medical.export import fhir
from verticals.medical.export.objects import tracking_uid
from verticals.medical.schemas import NOTICE
from verticals.medical.study_probes import STATES, report_on, report_with, study

FINDINGS = [
    {
        "finding_id": "f1",
        "kind": "effusion",
        "presence": "present",
        "site": "pleura",
        "side": "left",
        "prob": 0.1 + 0.2,
        "measurements": [{"name": "volume", "value": 1234.5678901234567, "unit": "mm3"}],
        "model": "films@1.2",
    },
    {"finding_id": "f2", "kind": "cardiomegaly", "presence": "absent", "site": "heart", "model": "films@1.2"},
    {"finding_id": "f3", "kind": "nodule", "presence": "uncertain", "model": "reader"},
]


def bundle_of(state: Any = "FINAL") -> dict[str, Any]:
    report = report_with(EvidenceGraph.model_validate({"findings": FINDINGS}), state)
    found: dict[str, Any] = json.loads(fhir.to_json(report, study("CR", 0)))
    return found


def of_kind(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def findings(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [o for o in of_kind(bundle, "Observation") if "valueCodeableConcept" in o]


def test_a_finding_is_an_observation_with_presence_place_sizes_and_device() -> None:
    bundle = bundle_of()
    resources = {e["fullUrl"]: e["resource"] for e in bundle["entry"]}
    first, second, third = findings(bundle)

    assert first["code"]["coding"][0] == {
        "system": "http://snomed.info/sct", "code": "60046008", "display": "Pleural effusion",
    }  # fmt: skip
    assert [o["interpretation"][0]["coding"][0]["code"] for o in (first, second, third)] == ["POS", "NEG", "IND"]
    place = resources[first["bodySite"]["extension"][0]["valueReference"]["reference"]]
    assert place["locationQualifier"][0]["coding"][0]["display"] == "Left"
    assert [c["valueQuantity"]["value"] for c in first["component"]] == [1234.5678901234567, 0.1 + 0.2]
    assert [c["valueQuantity"]["code"] for c in first["component"]] == ["mm3", "1"]
    device = resources[first["device"]["reference"]]
    assert (device["deviceName"][0]["name"], device["version"][0]["value"]) == ("films", "1.2")
    assert first["identifier"][1]["value"] == f"urn:oid:{tracking_uid(report_with(_graph()), 'f1')}"
    assert "device" not in third
    assert "bodySite" not in third
    assert all(o["note"] == [{"text": NOTICE}] for o in (first, second, third))


def _graph() -> EvidenceGraph:
    return EvidenceGraph.model_validate({"findings": FINDINGS})


def test_one_model_is_one_device_and_every_reference_resolves() -> None:
    bundle = bundle_of()
    text = json.dumps(bundle)
    urls = {entry["fullUrl"] for entry in bundle["entry"]}

    assert len(of_kind(bundle, "Device")) == 2  # the model, and the software that assembled the report
    assert len(urls) == len(bundle["entry"])
    assert {part.split('"')[0] for part in text.split('"reference": "')[1:]} <= urls
    assert [r["reference"] for r in of_kind(bundle, "DiagnosticReport")[0]["result"]][-3:] == [
        e["fullUrl"] for e in bundle["entry"] if "valueCodeableConcept" in e["resource"]
    ]


@pytest.mark.parametrize("state", STATES)
def test_status_and_provenance_follow_the_state(state: Any) -> None:
    bundle = bundle_of(state)
    signed = state in ("FINAL", "AMENDED")
    provenance = of_kind(bundle, "Provenance")[0]

    Bundle.model_validate(bundle)
    assert {o["status"] for o in of_kind(bundle, "Observation")} == {"final" if signed else "preliminary"}
    assert [a["type"]["coding"][0]["code"] for a in provenance["agent"]] == ["assembler", "attester"][: 1 + signed]
    assert ("revision" in [e["role"] for e in provenance["entity"]]) == (state != "PRELIMINARY")


def test_an_imaging_study_lists_every_image_of_its_series() -> None:
    images = study("CT", 0)
    found = json.loads(fhir.to_json(report_on(images, "FINAL", 0), images))

    (listed,) = of_kind(found, "ImagingStudy")
    assert (listed["numberOfSeries"], listed["numberOfInstances"]) == (1, 4)
    assert [i["uid"] for i in listed["series"][0]["instance"]] == [image.SOPInstanceUID for image in images]
