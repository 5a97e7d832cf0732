"""A report as a FHIR R4B Bundle: DiagnosticReport, each section an Observation, ImagingStudy. Ignores transport."""

from __future__ import annotations

import base64
import html
import uuid
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from pydicom.dataset import Dataset

from verticals.medical.report import SIGNED, Block, Report, as_text, blocks
from verticals.medical.schemas import NOTICE

_LOINC = "http://loinc.org"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_UIDS = {"system": "urn:dicom:uid"}
_OURS = uuid.UUID("6f3b0f7e-3f0a-5d52-9a55-2f6f4d0c7b11")
# An addendum makes a report "amended" here; FHIR's narrower "appended" is a kind of it.
_STATUS = {"PRELIMINARY": "preliminary", "EDITED": "preliminary", "FINAL": "final", "AMENDED": "amended"}
_TITLES = {"CT": ("25045-6", "CT Report"), "MR": ("25056-3", "MRI Report")}


def to_json(report: Report, image: Dataset) -> bytes:
    """The Bundle as UTF-8 JSON, validated by fhir.resources' classes; equal input gives equal bytes."""
    text: str = Bundle.model_validate(_bundle(report, image)).model_dump_json(indent=2)
    return text.encode()


def _bundle(report: Report, image: Dataset) -> dict[str, Any]:
    patient, study = _urn("patient", image.PatientID), _urn("study", image.StudyInstanceUID)
    sections = [
        (_urn("section", f"{report.content_sha256} {i}"), _observation(block, report, patient, study))
        for i, block in enumerate(blocks(report))
    ]
    resources = [
        (_urn("report", report.report_id), _diagnostic_report(report, image, patient, study, [u for u, _ in sections])),
        *sections,
        (study, _imaging_study(image, patient)),
        (patient, _patient(image)),
    ]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": report.created_at.isoformat(),
        "meta": {"tag": [{"display": NOTICE}]},
        "entry": [{"fullUrl": url, "resource": resource} for url, resource in resources],
    }


def _urn(kind: str, name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_OURS, f'{kind} {name}')}"


def _coding(code: str, display: str, system: str = _LOINC) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _narrative(text: str) -> dict[str, str]:
    body = f'<div xmlns="http://www.w3.org/1999/xhtml"><pre>{html.escape(text)}</pre></div>'
    return {"status": "generated", "div": body}


def _diagnostic_report(report: Report, image: Dataset, patient: str, study: str, results: list[str]) -> dict[str, Any]:
    text = as_text(report)
    resource: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "text": _narrative(text),
        "identifier": [{"value": report.report_id}],
        "status": _STATUS[report.state],
        "category": [_coding("RAD", "Radiology", "http://terminology.hl7.org/CodeSystem/v2-0074")],
        "code": _coding(*_TITLES.get(image.Modality, ("43468-8", "X-Ray Report"))),
        "subject": {"reference": patient},
        "issued": report.created_at.isoformat(),
        "imagingStudy": [{"reference": study}],
        "result": [{"reference": url} for url in results],
        "presentedForm": [
            {
                "contentType": "text/plain; charset=utf-8",
                "data": base64.b64encode(text.encode()).decode(),
                "title": NOTICE,
            }
        ],
    }
    if report.sections.impression:
        resource["conclusion"] = report.sections.impression
    if report.signer:
        resource["resultsInterpreter"] = [{"display": report.signer}]
    return resource


def _observation(block: Block, report: Report, patient: str, study: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final" if report.state in SIGNED else "preliminary",
        "code": _coding(block.code, block.meaning),
        "subject": {"reference": patient},
        "derivedFrom": [{"reference": study}],
        "issued": report.created_at.isoformat(),
        "valueString": block.text,
    }


def _imaging_study(image: Dataset, patient: str) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "identifier": [{**_UIDS, "value": f"urn:oid:{image.StudyInstanceUID}"}],
        "status": "available",
        "subject": {"reference": patient},
        "numberOfSeries": 1,
        "numberOfInstances": 1,
        "series": [
            {
                "uid": image.SeriesInstanceUID,
                "modality": {"system": _DCM, "code": image.Modality},
                "numberOfInstances": 1,
                "instance": [
                    {
                        "uid": image.SOPInstanceUID,
                        "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{image.SOPClassUID}"},
                    }
                ],
            }
        ],
    }


def _patient(image: Dataset) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [
            {"value": image.PatientID, "type": {"text": "Pseudonym after de-identification (DICOM PS3.15 E)"}}
        ],
    }
