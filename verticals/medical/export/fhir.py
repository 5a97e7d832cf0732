"""A report as a FHIR R4B Bundle: DiagnosticReport, sections and findings as Observations, ImagingStudy, Provenance.

Ignores transport. What a finding's Observation holds is written in `fhir_finding`.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from pydicom.dataset import Dataset

from verticals.medical.export.fhir_finding import concept, finding_resources, status, urn
from verticals.medical.frames import num_frames
from verticals.medical.report import Block, Report, as_text, blocks
from verticals.medical.schemas import NOTICE

_LOINC = "http://loinc.org"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_UIDS = {"system": "urn:dicom:uid"}
_PARTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
# An addendum makes a report "amended" here; FHIR's narrower "appended" is a kind of it.
_STATUS = {"PRELIMINARY": "preliminary", "EDITED": "preliminary", "FINAL": "final", "AMENDED": "amended"}
_TITLES = {"CT": ("25045-6", "CT Report"), "MR": ("25056-3", "MRI Report")}
_TITLES |= dict.fromkeys(("CR", "DX"), ("43468-8", "X-Ray Report"))
_UNTITLED = ("18748-4", "Diagnostic imaging study")


def to_json(report: Report, images: Sequence[Dataset]) -> bytes:
    """The Bundle as UTF-8 JSON, validated by fhir.resources' classes; equal input gives equal bytes."""
    text: str = Bundle.model_validate(_bundle(report, images)).model_dump_json(indent=2)
    return text.encode()


def _bundle(report: Report, images: Sequence[Dataset]) -> dict[str, Any]:
    patient, study = urn("patient", images[0].PatientID), urn("study", images[0].StudyInstanceUID)
    sections = [
        (urn("section", f"{report.content_sha256} {i}"), _observation(block, report, patient, study))
        for i, block in enumerate(blocks(report))
    ]
    findings, others = finding_resources(report, patient, study)
    main, software = urn("report", report.report_id), urn("software", "Trivium")
    results = [url for url, _ in (*sections, *findings)]
    resources = [
        (main, _diagnostic_report(report, images[0].Modality, patient, study, results)),
        *sections,
        *findings,
        *others,
        (study, _imaging_study(images, patient)),
        (patient, _patient(images[0])),
        (software, _software()),
        (urn("provenance", report.content_sha256), _provenance(report, main, study, software)),
    ]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": report.created_at.isoformat(),
        "meta": {"tag": [{"display": NOTICE}]},
        "entry": [{"fullUrl": url, "resource": resource} for url, resource in resources],
    }


def _narrative(text: str) -> dict[str, str]:
    body = f'<div xmlns="http://www.w3.org/1999/xhtml"><pre>{html.escape(text)}</pre></div>'
    return {"status": "generated", "div": body}


def _diagnostic_report(report: Report, modality: str, patient: str, study: str, results: list[str]) -> dict[str, Any]:
    text = as_text(report)
    resource: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "text": _narrative(text),
        "identifier": [
            {"value": report.report_id},
            {"type": {"text": "SHA-256 of this version's content"}, "value": report.content_sha256},
        ],
        "status": _STATUS[report.state],
        "category": [concept("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", "Radiology")],
        "code": concept(_LOINC, *_TITLES.get(modality, _UNTITLED)),
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
        "status": status(report),
        "code": concept(_LOINC, block.code, block.meaning),
        "subject": {"reference": patient},
        "derivedFrom": [{"reference": study}],
        "issued": report.created_at.isoformat(),
        "valueString": block.text,
    }


def _imaging_study(images: Sequence[Dataset], patient: str) -> dict[str, Any]:
    ordered = sorted(images, key=lambda image: (image.SeriesInstanceUID, image.SOPInstanceUID))
    series = [list(group) for _, group in groupby(ordered, key=lambda image: image.SeriesInstanceUID)]
    return {
        "resourceType": "ImagingStudy",
        "identifier": [{**_UIDS, "value": f"urn:oid:{images[0].StudyInstanceUID}"}],
        "status": "available",
        "subject": {"reference": patient},
        "numberOfSeries": len(series),
        "numberOfInstances": len(images),
        "series": [_series(members) for members in series],
    }


def _series(images: Sequence[Dataset]) -> dict[str, Any]:
    return {
        "uid": images[0].SeriesInstanceUID,
        "modality": {"system": _DCM, "code": images[0].Modality},
        "numberOfInstances": len(images),
        "instance": [_instance(image) for image in images],
    }


def _instance(image: Dataset) -> dict[str, Any]:
    sop_class = {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{image.SOPClassUID}"}
    said = {"title": f"{num_frames(image)} frames"} if num_frames(image) > 1 else {}
    return {"uid": image.SOPInstanceUID, "sopClass": sop_class, **said}


def _patient(image: Dataset) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [
            {"value": image.PatientID, "type": {"text": "Pseudonym after de-identification (DICOM PS3.15 E)"}}
        ],
    }


def _software() -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "deviceName": [{"name": "Trivium", "type": "model-name"}],
        "version": [{"value": version("trivium")}],
        "note": [{"text": NOTICE}],
    }


def _provenance(report: Report, main: str, study: str, software: str) -> dict[str, Any]:
    """Who made this version: the software assembled it; once there is a signature, the signer attested it."""
    agents = [{"type": concept(_PARTS, "assembler", "Assembler"), "who": {"reference": software}}]
    if report.signer:
        agents.append({"type": concept(_PARTS, "attester", "Attester"), "who": {"display": report.signer}})
    entities: list[dict[str, Any]] = [{"role": "source", "what": {"reference": study}}]
    if report.previous_sha256:
        before = {"type": {"text": "SHA-256 of the version before"}, "value": report.previous_sha256}
        entities.append({"role": "revision", "what": {"identifier": before}})
    return {
        "resourceType": "Provenance",
        "target": [{"reference": main}],
        "recorded": report.created_at.isoformat(),
        "agent": agents,
        "entity": entities,
    }
