"""One finding as FHIR R4B: an Observation, the place it is at, the model that said so. Ignores the Bundle around it."""

from __future__ import annotations

import uuid
from typing import Any

from verticals.medical.evidence import READER, Finding
from verticals.medical.export.codes import (
    CONFIDENCE_SET,
    NO_UNIT,
    PRESENCE,
    PROBABILITY,
    QUANTITIES,
    SIDES,
    UNITS,
    split_model,
)
from verticals.medical.export.objects import tracking_uid, uid
from verticals.medical.report import SIGNED, Report
from verticals.medical.schemas import NOTICE
from verticals.medical.vocabulary import KINDS, PRIVATE_SCHEME, SITES, Code

Resource = dict[str, Any]

_OURS = uuid.UUID("6f3b0f7e-3f0a-5d52-9a55-2f6f4d0c7b11")
SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "UCUM": "http://unitsofmeasure.org",
    PRIVATE_SCHEME: f"urn:oid:{uid('scheme', PRIVATE_SCHEME)}",
}
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
INTERPRETED = {"present": ("POS", "Positive"), "absent": ("NEG", "Negative"), "uncertain": ("IND", "Indeterminate")}
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_BODY_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/bodySite"
_FINDING = "urn:dicom:uid"  # system of the tracking UID, which SR and SEG have as well


def urn(kind: str, name: str) -> str:
    """A resource's URL, which follows from its name alone."""
    return f"urn:uuid:{uuid.uuid5(_OURS, f'{kind} {name}')}"


def concept(system: str, code: str, display: str) -> Resource:
    """A CodeableConcept of one coding."""
    return {"coding": [{"system": system, "code": code, "display": display}]}


def coded(code: Code) -> Resource:
    """A CodeableConcept of one of our codes."""
    return concept(SYSTEMS[code.scheme], code.value, code.meaning)


def status(report: Report) -> str:
    """Of an Observation."""
    return "final" if report.state in SIGNED else "preliminary"


def finding_resources(
    report: Report, patient: str, study: str
) -> tuple[list[tuple[str, Resource]], list[tuple[str, Resource]]]:
    """(Observations in the graph's order, what they refer to: BodyStructures and Devices), each with its URL."""
    observations, others = [], {}
    for finding in report.evidence.findings:
        name = f"{report.report_id} {finding.finding_id}"
        place, device = urn("place", f"{name} {report.content_sha256}"), urn("device", finding.model)
        observation = _observation(finding, report, patient, study)
        if finding.site is not None:
            observation["bodySite"] = coded(SITES[finding.site].code) | {
                "extension": [{"url": _BODY_STRUCTURE, "valueReference": {"reference": place}}]
            }
            others[place] = _place(finding, patient)
        if finding.model == READER:
            observation["performer"] = [{"display": READER}]
        else:
            observation["device"] = {"reference": device}
            others[device] = _device(finding.model)
        observations.append((urn("finding", f"{name} {report.content_sha256}"), observation))
    return observations, list(others.items())


def _observation(finding: Finding, report: Report, patient: str, study: str) -> Resource:
    observation: Resource = {
        "resourceType": "Observation",
        "identifier": [
            {"value": finding.finding_id},
            {"system": _FINDING, "value": f"urn:oid:{tracking_uid(report, finding.finding_id)}"},
        ],
        "status": status(report),
        "category": [concept(_CATEGORY, "imaging", "Imaging")],
        "code": coded(KINDS[finding.kind].code),
        "subject": {"reference": patient},
        "derivedFrom": [{"reference": study}],
        "issued": report.created_at.isoformat(),
        "valueCodeableConcept": coded(PRESENCE[finding.presence]),
        "interpretation": [concept(INTERPRETATION, *INTERPRETED[finding.presence])],
        "note": [{"text": NOTICE}],
    }
    if components := _components(finding):
        observation["component"] = components
    return observation


def _components(finding: Finding) -> list[Resource]:
    sizes = [
        {"code": coded(QUANTITIES[m.name]), "valueQuantity": _quantity(m.value, UNITS[m.unit])}
        for m in finding.measurements
    ]
    if finding.prob is not None:
        sizes.append({"code": coded(PROBABILITY), "valueQuantity": _quantity(finding.prob, NO_UNIT)})
    doubt = [
        {"code": coded(CONFIDENCE_SET), "valueCodeableConcept": coded(PRESENCE[p])} for p in finding.confidence_set
    ]
    return [*sizes, *doubt]


def _quantity(value: float, unit: Code) -> Resource:
    return {"value": value, "unit": unit.meaning, "system": SYSTEMS[unit.scheme], "code": unit.value}


def _place(finding: Finding, patient: str) -> Resource:
    assert finding.site is not None  # its caller asked
    place: Resource = {
        "resourceType": "BodyStructure",
        "location": coded(SITES[finding.site].code),
        "patient": {"reference": patient},
    }
    if finding.side is not None:
        place["locationQualifier"] = [coded(SIDES[finding.side])]
    return place


def _device(model: str) -> Resource:
    name, version = split_model(model)
    return {
        "resourceType": "Device",
        "deviceName": [{"name": name, "type": "model-name"}],
        "version": [{"value": version}],
        "note": [{"text": NOTICE}],
    }
