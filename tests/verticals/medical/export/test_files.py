"""Every format of one version: which files there are, that they repeat, carry the notice, and follow the state."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from typing import Any, get_args

import pytest
from pydicom import dcmread

from verticals.contract import NotFound, Unavailable
from verticals.medical.evidence import NO_EVIDENCE
from verticals.medical.export.files import FORMATS, export
from verticals.medical.report import edited
from verticals.medical.schemas import NOTICE, ExportFormat
from verticals.medical.study_probes import report_on, report_with, study
from verticals.medical.tables import add_report, get_report

DICOM = ("sr", "seg", "gsps", "ko", "sc")


def names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.namelist()


def test_there_is_a_writer_for_every_format_of_the_api() -> None:
    assert set(get_args(ExportFormat)) == {*FORMATS, "all"}


@pytest.mark.parametrize("kind", ["CT", "OP, frames"])
def test_all_is_one_archive_with_a_manifest_of_hashes(kind: str) -> None:
    images = study(kind, 1)
    report = report_on(images, "FINAL", 1)

    made = export(report, images, "all")

    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == manifest["files"]
    assert {name.split(".")[0].split("-")[0] for name in files} == set(FORMATS)
    assert (manifest["content_sha256"], manifest["notice"]) == (report.content_sha256, NOTICE)
    assert made == export(report, images, "all")


def test_each_object_has_a_uid_of_its_own_in_a_series_of_its_kind_and_says_the_notice() -> None:
    images = study("CT", 2)
    first, second = (report_on(images, state, 2) for state in ("PRELIMINARY", "FINAL"))
    objects = [
        (kind, dcmread(io.BytesIO(content)))
        for report in (first, second)
        for kind in DICOM
        for content in FORMATS[kind].write(report, images)
    ]

    assert len({o.SOPInstanceUID for _, o in objects}) == len(objects)
    assert len({o.SeriesInstanceUID for _, o in objects}) == len(DICOM)
    for kind, document in objects:
        assert document.SeriesDescription == NOTICE, kind
        assert (document.StudyInstanceUID, document.PatientID) == (images[0].StudyInstanceUID, images[0].PatientID)
        assert document.InstanceCreationDate == "20260102"
        assert "1.2.826.0.1.3680043.10.511.3." not in str(document)  # no UID that highdicom drew


def test_a_report_without_findings_has_only_what_needs_no_region() -> None:
    images = study("DX", 1)
    report = report_with(NO_EVIDENCE, "FINAL")

    assert names(export(report, images, "all").content) == [
        *("sr.dcm", "fhir.json", "pdf.pdf", "text.txt", "manifest.json")
    ]
    with pytest.raises(NotFound, match="no finding of this report has a region"):
        export(report, images, "seg")


def test_several_objects_of_one_format_come_in_one_archive() -> None:
    images = study("OP, frames", 3)
    reports = (report_on(images, "EDITED", seed) for seed in range(20))
    report = next(r for r in reports if len({x.frame for f in r.evidence.findings for x in f.regions}) == 3)

    made = export(report, images, "seg")

    assert made.media_type == "application/zip"
    assert names(made.content) == [f"seg-{i + 1}.dcm" for i in range(len(names(made.content)))]


@pytest.mark.parametrize("form", ["sr", "ko", "sc", "pdf"])
def test_evidence_on_an_image_that_is_not_there_is_refused(form: Any) -> None:
    report = report_on(study("CR", 0), "FINAL", 0)

    with pytest.raises(Unavailable, match="names an image that the study does not hold"):
        export(report, study("CR", 1), form)


def test_the_service_exports_a_stored_report_with_findings_and_records_the_file(desk: Any, ct: bytes) -> None:
    first = desk.ingest(ct).report
    with desk.resources.sessions() as session:
        stored = get_report(session, desk.tenant, report_id=first.report_id)
        image = dcmread(io.BytesIO(desk.stored_image()))
        graph = report_on([image], "FINAL", 0).evidence
        later = edited(stored, stored.sections, expected_version=1, now=stored.created_at)
        add_report(session, desk.tenant, replace(later, evidence=graph))
        session.commit()

    for form in get_args(ExportFormat):
        made = desk.call("export_report", report_id=first.report_id, format=form)
        outcome = desk.recorder.decisions[-1].outcome

        assert outcome["file_sha256"] == hashlib.sha256(made.content).hexdigest()
        assert (outcome["format"], outcome["version"]) == (form, 2)
        assert made.filename.startswith(f"{first.report_id}-v2")
