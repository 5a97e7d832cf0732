"""The findings that a FHIR Bundle states, read resource by resource. Ignores the graph and the code that wrote them."""

from __future__ import annotations

from typing import Any

from verticals.medical.evidence import READER, EvidenceGraph, Finding
from verticals.medical.export.codes import (
    CONFIDENCE_SET,
    NO_UNIT,
    PRESENCE,
    PROBABILITY,
    QUANTITIES,
    SIDES,
    UNITS,
    join_model,
)
from verticals.medical.export.fhir_finding import INTERPRETATION, INTERPRETED, SYSTEMS
from verticals.medical.vocabulary import KINDS, SITES, Code

Resource = dict[str, Any]


def _key(code: Code) -> tuple[str, str]:
    return SYSTEMS[code.scheme], code.value


_KIND_NAMES = {_key(kind.code): name for name, kind in KINDS.items()}
_SITE_NAMES = {_key(site.code): name for name, site in SITES.items()}
_SIDE_NAMES = {_key(code): name for name, code in SIDES.items()}
_PRESENCES = {_key(code): name for name, code in PRESENCE.items()}
_QUANTITY_NAMES = {_key(code): name for name, code in QUANTITIES.items()}
_UNIT_NAMES = {_key(code): name for name, code in UNITS.items()}


def read_findings(bundle: Resource) -> EvidenceGraph:
    """The findings that a Bundle states, without regions, which FHIR has no place for.

    Raises:
        ValueError, KeyError: a code, reference or structure that `finding_resources` does not write.
    """
    resources = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    (report,) = (r for r in resources.values() if r["resourceType"] == "DiagnosticReport")
    results = [resources[result["reference"]] for result in report["result"]]
    return EvidenceGraph(
        findings=tuple(_read(result, resources) for result in results if "valueCodeableConcept" in result)
    )


def _read(observation: Resource, resources: dict[str, Resource]) -> Finding:
    components = observation.get("component", [])
    sizes = [c for c in components if _code(c["code"]) in _QUANTITY_NAMES]
    probabilities = [c["valueQuantity"] for c in components if _code(c["code"]) == _key(PROBABILITY)]
    doubts = [c["valueCodeableConcept"] for c in components if _code(c["code"]) == _key(CONFIDENCE_SET)]
    if len(sizes) + len(probabilities) + len(doubts) != len(components):
        raise ValueError("component: a code that is not written here")
    presence = _PRESENCES[_code(observation["valueCodeableConcept"])]
    if _code(observation["interpretation"][0]) != (INTERPRETATION, INTERPRETED[presence][0]):
        raise ValueError("interpretation: does not fit the value")
    return Finding.model_validate(
        {
            "finding_id": observation["identifier"][0]["value"],
            "kind": _KIND_NAMES[_code(observation["code"])],
            "presence": presence,
            **_where(observation.get("bodySite"), resources),
            "prob": _number(probabilities[0], NO_UNIT) if probabilities else None,
            "confidence_set": [_PRESENCES[_code(d)] for d in doubts],
            "measurements": [_size(c) for c in sizes],
            "model": _model(resources[observation["device"]["reference"]]) if "device" in observation else READER,
        }
    )


def _code(concept: Resource) -> tuple[str, str]:
    (coding,) = concept["coding"]
    return coding["system"], coding["code"]


def _number(quantity: Resource, unit: Code) -> float:
    if (quantity["system"], quantity["code"]) != _key(unit):
        raise ValueError("valueQuantity: another unit")
    return float(quantity["value"])


def _size(component: Resource) -> Resource:
    quantity = component["valueQuantity"]
    unit = _UNIT_NAMES[quantity["system"], quantity["code"]]
    return {"name": _QUANTITY_NAMES[_code(component["code"])], "value": float(quantity["value"]), "unit": unit}


def _where(body_site: Resource | None, resources: dict[str, Resource]) -> Resource:
    if body_site is None:
        return {"site": None, "side": None}
    place = resources[body_site["extension"][0]["valueReference"]["reference"]]
    if _code(place["location"]) != _code(body_site):
        raise ValueError("bodySite: does not fit its BodyStructure")
    qualifiers = place.get("locationQualifier", [])
    return {
        "site": _SITE_NAMES[_code(body_site)],
        "side": _SIDE_NAMES[_code(qualifiers[0])] if qualifiers else None,
    }


def _model(device: Resource) -> str:
    return join_model(device["deviceName"][0]["name"], device["version"][0]["value"])
