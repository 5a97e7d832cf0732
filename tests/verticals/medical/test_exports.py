"""Exports: SR, FHIR and text say the same words; SR passes dciodvfy; nobody's name but the signer's is in them."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom import dcmread
from pydicom.dataset import Dataset

from verticals.medical.schemas import NOTICE

TEXT = 'Swelling <5 mm & "haze"; 无异常, 2.3\u00a0cm \\ left.\nSecond line.'


def states(desk: Any, content: bytes) -> dict[str, Any]:
    """One study's exports in each state: state -> format -> bytes."""
    report = desk.ingest(content).report
    made = {}
    for step in ("PRELIMINARY", "EDITED", "FINAL", "AMENDED"):
        if step == "EDITED":
            report = desk.complete(report, findings=TEXT, technique="")
        elif step == "FINAL":
            report = desk.sign(report)
        elif step == "AMENDED":
            report = desk.call("add_addendum", report_id=report.report_id, author="Dr. B. Later", text=f"Added: {TEXT}")
        assert report.state == step
        made[step] = {
            f: desk.call("export_report", report_id=report.report_id, format=f).content for f in ("sr", "fhir", "text")
        }
    return made


def sr_texts(document: Dataset) -> list[str]:
    found = []
    for item in document.ContentSequence:
        if item.ValueType == "CONTAINER":
            found += [inner.TextValue for inner in item.ContentSequence]
    return found


def fhir_resources(content: bytes, kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in json.loads(content)["entry"] if e["resource"]["resourceType"] == kind]


def test_sr_fhir_and_text_say_the_same_in_every_state(desk: Any, ct: bytes) -> None:
    for state, files in states(desk, ct).items():
        sr = sr_texts(dcmread(io.BytesIO(files["sr"])))
        fhir = [o["valueString"] for o in fhir_resources(files["fhir"], "Observation")]
        plain = files["text"].decode()

        assert sr == fhir
        assert [block.split("\n", 1)[1] for block in plain.strip().split("\n\n")] == sr
        assert (TEXT in sr) == (state != "PRELIMINARY")
        assert any(NOTICE in text for text in sr)
        report = fhir_resources(files["fhir"], "DiagnosticReport")[0]
        assert base64.b64decode(report["presentedForm"][0]["data"]).decode() == plain


def test_the_flags_of_sr_and_the_status_of_fhir_follow_the_state(desk: Any, mr: bytes) -> None:
    seen = {}
    for state, files in states(desk, mr).items():
        sr = dcmread(io.BytesIO(files["sr"]))
        status = fhir_resources(files["fhir"], "DiagnosticReport")[0]["status"]
        seen[state] = (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag, status)
        if state in ("FINAL", "AMENDED"):
            assert str(sr.VerifyingObserverSequence[0].VerifyingObserverName).rstrip("^") == "Dr. A. Reader"

    assert seen == {
        "PRELIMINARY": ("PARTIAL", "UNVERIFIED", "PRELIMINARY", "preliminary"),
        "EDITED": ("PARTIAL", "UNVERIFIED", "PRELIMINARY", "preliminary"),
        "FINAL": ("COMPLETE", "VERIFIED", "FINAL", "final"),
        "AMENDED": ("COMPLETE", "VERIFIED", "FINAL", "amended"),
    }


def test_sr_lies_in_the_study_of_its_image_and_names_it_as_evidence(desk: Any, ct: bytes) -> None:
    sr = dcmread(io.BytesIO(states(desk, ct)["FINAL"]["sr"]))
    image = dcmread(io.BytesIO(desk.stored_image()))

    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0]
    assert sr.StudyInstanceUID == evidence.StudyInstanceUID == image.StudyInstanceUID
    assert (
        evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    )
    assert (sr.Modality, sr.PatientID, str(sr.PatientName)) == ("SR", image.PatientID, "")
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "2000"
    assert sr.SeriesDescription == NOTICE


def test_fhir_is_valid_and_its_references_resolve(desk: Any, ct: bytes) -> None:
    for files in states(desk, ct).values():
        bundle = Bundle.model_validate_json(files["fhir"])

        urls = {entry.fullUrl for entry in bundle.entry}
        text = files["fhir"].decode()
        assert len(urls) == len(bundle.entry)
        assert all(url.split('"')[0] in urls for url in text.split('"reference": "')[1:])
        assert NOTICE in text
        assert fhir_resources(files["fhir"], "ImagingStudy")[0]["series"][0]["modality"]["code"] == "CT"


def test_an_export_of_the_same_version_is_byte_for_byte_the_same(desk: Any, ct: bytes) -> None:
    report = desk.sign(desk.complete(desk.ingest(ct).report))

    for kind in ("sr", "fhir", "text"):
        once, again = (desk.call("export_report", report_id=report.report_id, format=kind).content for _ in range(2))
        assert once == again


def test_a_signer_with_a_chinese_name_is_written_and_read_back(desk: Any, ct: bytes) -> None:
    report = desk.sign(desk.complete(desk.ingest(ct).report), signer="王小明")

    sr = dcmread(io.BytesIO(desk.call("export_report", report_id=report.report_id).content))

    assert str(sr.VerifyingObserverSequence[0].VerifyingObserverName).rstrip("^") == "王小明"


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian package dicom3tools)")
def test_dciodvfy_finds_no_error(desk: Any, ct: bytes, mr: bytes, tmp_path: Path) -> None:
    for content in (ct, mr):
        for state, files in states(desk, content).items():
            path = tmp_path / f"{state}.dcm"
            path.write_bytes(files["sr"])

            told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr

            assert "EnhancedSR" in told
            assert [line for line in told.splitlines() if line.startswith("Error")] == []
