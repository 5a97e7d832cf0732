"""A report with findings is a TID 1500 document: each finding coded, measured, drawn and traced to what said it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from verticals.medical.evidence import NO_EVIDENCE, EvidenceGraph
from verticals.medical.export import sr
from verticals.medical.export.objects import tracking_uid
from verticals.medical.report import blocks
from verticals.medical.study_probes import report_with, study

OUTLINE = ((10.0, 10.0), (30.5, 10.0), (30.5, 40.25), (10.0, 10.0))


def _document(images: list[Dataset], state: Any = "FINAL", **changes: Any) -> Dataset:
    return dcmread(io.BytesIO(sr.to_dicom(report_with(_graph(images, **changes), state), images)))


def _graph(images: list[Dataset], **changes: Any) -> EvidenceGraph:
    finding = {
        "finding_id": "f7",
        "kind": "nodule",
        "presence": "uncertain",
        "site": "upper_lung_zone",
        "side": "right",
        "prob": 0.1 + 0.2,
        "confidence_set": ("present", "absent"),
        "measurements": [{"name": "diameter", "value": 4.25, "unit": "mm"}],
        "regions": [{"sop_instance_uid": images[0].SOPInstanceUID, "shape": "polyline", "points": OUTLINE}],
        "model": "nodules@2.1",
    }
    return EvidenceGraph.model_validate({"findings": [finding | changes]})


def _group(document: Dataset) -> list[Dataset]:
    (container,) = [i for i in document.ContentSequence if _name(i) == "Imaging Measurements"]
    (group,) = container.ContentSequence
    assert _name(group) == "Measurement Group"
    return list(group.ContentSequence)


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def _said(items: list[Dataset], name: str) -> list[str]:
    """Scheme and value of codes, value and unit of numbers, or text, of the items of that name."""
    found = [i for i in items if _name(i) == name]
    said = []
    for item in found:
        if item.ValueType == "CODE":
            said.append(f"{item.ConceptCodeSequence[0].CodingSchemeDesignator} {item.ConceptCodeSequence[0].CodeValue}")
        elif item.ValueType == "NUM":
            measured = item.MeasuredValueSequence[0]
            unit = measured.MeasurementUnitsCodeSequence[0]
            said.append(f"{measured.FloatingPointValue} {unit.CodingSchemeDesignator} {unit.CodeValue}")
        else:
            said.append(str(item.get("TextValue") or item.get("UID")))
    return said


def test_a_finding_has_its_codes_sizes_probability_and_algorithm() -> None:
    images = study("CT", 0)
    document = _document(images)
    items = _group(document)
    site = next(i for i in items if _name(i) == "Finding Site")

    assert document.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert _said(items, "Tracking Identifier") == ["f7"]
    assert _said(items, "Tracking Unique Identifier") == [tracking_uid(report_with(_graph(images)), "f7")]
    assert _said(items, "Finding") == ["SCT 27925004"]
    assert _said(items, "Presence of property") == ["SCT 64957009"]
    assert _said(items, "Finding Site") == ["99TRIVIUM upper-lung-zone"]
    assert _said(list(site.ContentSequence), "Laterality") == ["SCT 24028007"]
    assert _said(items, "Diameter") == ["4.25 UCUM mm"]
    assert _said(items, "Calibrated probability of presence") == [f"{0.1 + 0.2} UCUM 1"]
    assert _said(items, "In the conformal set at 90 %") == ["SCT 52101004", "SCT 272519000"]
    assert (_said(items, "Algorithm Name"), _said(items, "Algorithm Version")) == (["nodules"], ["2.1"])


def test_what_a_reader_adds_names_no_algorithm() -> None:
    items = _group(_document(study("CT", 0), model="reader", prob=None))

    assert not [name for name in map(_name, items) if name.startswith(("Algorithm", "Calibrated"))]


@pytest.mark.parametrize(("kind", "frame"), [("CR", None), ("OP, frames", 2), ("CT, frames", 3)])
def test_a_region_lies_on_its_image_and_frame(kind: str, frame: int | None) -> None:
    images = study(kind, 0)
    region = {"sop_instance_uid": images[0].SOPInstanceUID, "frame": frame or 1, "shape": "polyline", "points": OUTLINE}
    items = _group(_document(images, regions=[region]))

    (drawn,) = [i for i in items if i.ValueType == "SCOORD"]
    reference = drawn.ContentSequence[0].ReferencedSOPSequence[0]
    assert (drawn.GraphicType, list(drawn.GraphicData)) == ("POLYLINE", [xy for point in OUTLINE for xy in point])
    assert reference.ReferencedSOPInstanceUID == images[0].SOPInstanceUID
    assert reference.get("ReferencedFrameNumber") == frame


def test_the_prose_follows_the_findings() -> None:
    images = study("CT", 1)
    report = report_with(_graph(images), "AMENDED")
    document = dcmread(io.BytesIO(sr.to_dicom(report, images)))

    sections = [i for i in document.ContentSequence if i.ValueType == "CONTAINER"][1:]
    texts = [text.TextValue for section in sections for text in section.ContentSequence]
    assert texts == [block.text for block in blocks(report)]
    assert (document.Modality, document.SOPClassUID.name) == ("SR", "Comprehensive SR Storage")
    assert document.VerificationFlag == "VERIFIED"


@pytest.mark.parametrize(
    ("kind", "title"), [("CT", "CT Report"), ("DX", "X-Ray Report"), ("OP", "Diagnostic Imaging Report")]
)
def test_a_report_without_findings_is_titled_by_its_modality(kind: str, title: str) -> None:
    document = dcmread(io.BytesIO(sr.to_dicom(report_with(NO_EVIDENCE), study(kind, 0))))

    assert document.ConceptNameCodeSequence[0].CodeMeaning.lower() == title.lower()
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "2000"
