"""The operations end to end on pydicom's CT and MR, a phantom and, when mounted, a public chest film."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from pydicom import dcmread
from sqlalchemy import func, select

from verticals.contract import Conflict, InvalidInput, NotFound
from verticals.medical import VERTICAL, schemas, tables
from verticals.medical.evals import written_out
from verticals.medical.probes import phantom, radiograph, to_bytes


def rows(desk: Any, table: type) -> int:
    with desk.resources.sessions() as session:
        return int(session.scalar(select(func.count()).select_from(table)))


def changed(content: bytes, **values: Any) -> bytes:
    dataset = dcmread(io.BytesIO(content))
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def test_every_operation_has_a_handler_and_examples_are_valid(desk: Any) -> None:
    assert set(desk.handlers) == {op.name for op in VERTICAL.operations}
    for op in VERTICAL.operations:
        in_path = {name: "id" for name in op.request.model_fields if f"{{{name}}}" in op.path}
        for example in op.examples.values():
            op.request.model_validate(dict(example) | in_path)


def test_a_ct_becomes_a_study_with_an_honest_draft(desk: Any, ct: bytes) -> None:
    study = desk.ingest(ct)

    assert (study.modality, study.body_part, study.origin) == ("CT", "UNKNOWN", "upload")
    assert (study.image.rows, study.image.columns, study.image.frames) == (128, 128, 1)
    assert study.image.spacing_mm == pytest.approx((0.661468, 0.661468))
    assert study.findings_status.status == "no model available"
    assert study.findings_status.model is None
    assert study.quality.verdict == "warn"
    assert study.deidentification.private_removed > 100
    assert study.report.state == "PRELIMINARY"
    assert study.report.sections.comparison == "No prior study available."
    assert study.report.blanks == 2
    assert study.notice == study.report.notice == "Research software, not a medical device"
    assert desk.call("get_study", study_id=study.study_id) == study


def test_the_same_file_again_is_the_same_study(desk: Any, mr: bytes) -> None:
    once = desk.ingest(mr)
    again = desk.ingest(mr)

    assert not once.already_present
    assert again.already_present
    assert again.model_copy(update={"already_present": False}) == once
    assert rows(desk, tables.MedicalStudy) == 1
    assert len(desk.recorder.decisions) == 1


def test_another_object_under_the_same_uid_is_refused(desk: Any, mr: bytes) -> None:
    desk.ingest(mr)

    with pytest.raises(Conflict, match=r"SOPInstanceUID \(0008,0018\): a different object"):
        desk.ingest(changed(mr, SeriesNumber=9))

    assert rows(desk, tables.MedicalStudy) == 1


def test_an_earlier_study_of_the_same_patient_is_named(desk: Any, ct: bytes) -> None:
    earlier = desk.ingest(ct)
    later = desk.ingest(changed(ct, SOPInstanceUID="1.2.3.4", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2"))
    theirs = {"SOPInstanceUID": "1.2.3.5", "StudyInstanceUID": "1.2.5", "SeriesInstanceUID": "1.5"}
    other = desk.ingest(changed(ct, PatientID="SOMEONE ELSE", **theirs))

    assert earlier.study_id in later.report.sections.comparison
    assert other.report.sections.comparison == "No prior study available."


def test_a_report_goes_from_draft_to_addendum(desk: Any, ct: bytes) -> None:
    draft = desk.ingest(ct).report
    with pytest.raises(InvalidInput, match="must all be completed"):
        desk.sign(draft)
    edited = desk.complete(draft)
    with pytest.raises(Conflict, match="somebody changed it"):
        desk.complete(draft)
    with pytest.raises(Conflict, match="somebody changed it"):
        desk.sign(draft)
    signed = desk.sign(edited)
    with pytest.raises(Conflict, match="a signed report cannot be edited"):
        desk.complete(signed)

    amended = desk.call("add_addendum", report_id=draft.report_id, author="Dr. B. Later", text="Phoned the ward.")

    assert [r.version for r in (draft, edited, signed, amended)] == [1, 2, 3, 4]
    assert amended.sections == signed.sections
    assert (amended.signer, amended.signed_at) == (signed.signer, signed.signed_at)
    assert [a.text for a in amended.addenda] == ["Phoned the ward."]
    assert desk.call("get_report", report_id=draft.report_id) == amended


def test_every_change_leaves_one_audit_row_without_patient_data(desk: Any, ct: bytes) -> None:
    study = desk.ingest(changed(ct, PatientName="Mustermann^Erika", PatientID="PID-4711"))
    report = desk.sign(desk.complete(study.report, findings="Private words."), signer="Dr. Secret Signer")
    desk.call("add_addendum", report_id=report.report_id, author="Dr. B. Later", text="More private words.")
    desk.call("export_report", report_id=report.report_id, format="text")

    kinds = [d.kind for d in desk.recorder.decisions]
    told = re.sub("[0-9a-f]{32,}", "", repr(desk.recorder.decisions))  # a hash may hold any four digits
    assert kinds == ["medical.ingest", "medical.edit", "medical.sign", "medical.addendum", "medical.export"]
    assert [d.subject for d in desk.recorder.decisions] == [study.study_id] + [report.report_id] * 4
    assert all(len(d.input_sha256) == 64 for d in desk.recorder.decisions)
    assert desk.recorder.decisions[2].outcome["content_sha256"] == report.content_sha256
    assert not [word for word in ("Mustermann", "4711", "rivate", "Signer", "Later") if word in told]


def test_when_the_audit_trail_fails_nothing_is_stored(desk: Any, ct: bytes) -> None:
    report = desk.ingest(ct).report
    before = [rows(desk, t) for t in (tables.MedicalStudy, tables.MedicalReportVersion)]
    desk.recorder.fails = True

    for step in (lambda: desk.ingest(changed(ct, SOPInstanceUID="1.2.3")), lambda: desk.complete(report)):
        with pytest.raises(RuntimeError, match="audit trail"):
            step()

    assert [rows(desk, t) for t in (tables.MedicalStudy, tables.MedicalReportVersion)] == before


def test_another_tenant_sees_nothing(desk: Any, ct: bytes) -> None:
    study = desk.ingest(ct)
    other = desk.as_tenant("clinic")
    calls: dict[str, dict[str, Any]] = {
        "get_study": {"study_id": study.study_id},
        "render": {"study_id": study.study_id},
        "attention": {"study_id": study.study_id},
        "fundus_steps": {"study_id": study.study_id},
        "ct_nodules": {"study_id": study.study_id},
        "pixels": {"study_id": study.study_id},
        "prior": {"study_id": study.study_id},
        "read_few_shot": {"study_id": study.study_id},
        "get_report": {"report_id": study.report.report_id},
        "export_report": {"report_id": study.report.report_id},
        "edit_report": {
            "report_id": study.report.report_id,
            "sections": study.report.sections,
            "expected_version": 1,
        },
        "sign_report": {
            "report_id": study.report.report_id,
            "signer": "Dr. X. Y",
            "attest": True,
            "expected_version": 1,
        },
        "add_addendum": {"report_id": study.report.report_id, "author": "Dr. X. Y", "text": "x"},
        "read_record": {"study_id": study.study_id, "patient_id": "1CT1", "record": "No known allergies."},
    }

    of_lists = {"ingest_study", "ingest_files", "list_studies", "list_held", "list_refusals", "watch"}
    of_held = {"show_held", "release_held", "discard_held"}  # see test_intake
    of_no_study = {"fleischner", "lung_rads"}
    of_site = {f"{step}_few_shot" for step in ("train", "list", "enable", "disable", "roll_back")}  # see fewshot
    assert set(calls) | of_lists | of_held | of_no_study | of_site == set(desk.handlers)
    for operation, fields in calls.items():
        with pytest.raises(NotFound, match="no such"):
            other.call(operation, **fields)
    assert other.call("list_studies").total == 0
    theirs = other.ingest(ct)
    assert theirs.study_id != study.study_id
    assert other.call("list_studies").total == desk.call("list_studies").total == 1


def test_two_tenants_pseudonyms_of_one_patient_differ(desk: Any, ct: bytes) -> None:
    desk.ingest(ct)
    desk.as_tenant("clinic").ingest(ct)

    with desk.resources.sessions() as session:
        patients = session.execute(select(tables.MedicalStudy.patient, tables.MedicalStudy.study_uid)).all()
    assert len({p for p, _ in patients}) == len({u for _, u in patients}) == 2


def test_the_worklist_is_paged_newest_first_and_shows_states(desk: Any, ct: bytes, mr: bytes) -> None:
    first, second = desk.ingest(ct), desk.ingest(mr, origin="pydicom-test-data")
    desk.sign(desk.complete(first.report))

    page = desk.call("list_studies", limit=1)
    rest = desk.call("list_studies", limit=10, offset=1)

    assert (page.total, rest.total) == (2, 2)
    assert [s.study_id for s in page.studies + rest.studies] == [second.study_id, first.study_id]
    assert [s.report_state for s in page.studies + rest.studies] == ["PRELIMINARY", "FINAL"]
    assert page.studies[0].origin == "pydicom-test-data"
    assert rest.studies[0].report_id == first.report.report_id


def test_render_shows_the_asked_window_on_the_stored_image(desk: Any, ct: bytes) -> None:
    study = desk.ingest(ct)

    made = desk.call("render", study_id=study.study_id, window_center=40, window_width=400)

    original = dcmread(io.BytesIO(ct))
    shown = np.asarray(Image.open(io.BytesIO(made.content))).astype(int)
    assert (made.media_type, shown.shape) == ("image/png", (128, 128))
    assert np.abs(shown - written_out(original.pixel_array, original, (40, 400))).max() <= 1


def test_render_shows_the_asked_frame_of_several(desk: Any) -> None:
    frames = np.stack([phantom(0, size=64), phantom(1, size=64)])
    dataset = radiograph(frames[0])
    dataset.NumberOfFrames, dataset.PixelData = 2, frames.tobytes()
    study = desk.ingest(to_bytes(dataset), origin="synthetic")
    assert study.image.frames == 2
    assert any("2 frames" in reason for reason in study.quality.reasons)

    one, two = (
        np.asarray(Image.open(io.BytesIO(desk.call("render", study_id=study.study_id, frame=f).content)))
        for f in (1, 2)
    )

    assert not np.array_equal(one, two)
    assert np.corrcoef(two.ravel(), frames[1].ravel())[0, 1] > 0.99
    with pytest.raises(InvalidInput, match="frame: must be at most 2"):
        desk.call("render", study_id=study.study_id, frame=3)


@pytest.mark.parametrize(
    ("fields", "error", "rule"),
    [
        ({"window_center": 40}, InvalidInput, "must be given together"),
        ({"window_width": 40}, InvalidInput, "must be given together"),
        ({"window_center": 40, "window_width": 0}, ValidationError, "window_width"),
        ({"window_center": float("nan"), "window_width": 1}, ValidationError, "window_center"),
        ({"frame": 0}, ValidationError, "frame"),
        ({"zoom": 2}, ValidationError, "zoom"),
    ],
)
def test_bad_render_requests_are_refused(
    desk: Any, ct: bytes, fields: dict[str, Any], error: type[Exception], rule: str
) -> None:
    study = desk.ingest(ct)

    with pytest.raises(error, match=rule):
        desk.call("render", study_id=study.study_id, **fields)


@pytest.mark.parametrize("signer", ["", "A", "A\\B C", "Dr^X", "two\nlines", "x" * 65, "\x00ab"])
def test_a_name_that_dicom_cannot_hold_is_refused(signer: str) -> None:
    with pytest.raises(ValidationError, match="signer"):
        schemas.SignReportRequest(report_id="r", signer=signer, attest=True, expected_version=1)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x" * 20_001])
def test_text_that_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="findings"):
        schemas.Sections(examination="", technique="", comparison="", findings=text, impression="")


def test_a_synthetic_radiograph_gets_a_chest_template(desk: Any) -> None:
    study = desk.ingest(to_bytes(radiograph(phantom(3))), origin="synthetic")

    assert (study.modality, study.body_part, study.origin) == ("CR", "CHEST", "synthetic")
    assert study.image.spacing_mm is None
    assert "Pleura: [to be completed" in study.report.sections.findings


@pytest.mark.skipif(not os.environ.get("TRIVIUM_DATA"), reason="TRIVIUM_DATA is not mounted: no public chest films")
def test_a_public_chest_film_wrapped_as_cr_is_read(desk: Any) -> None:
    path = next(Path(os.environ["TRIVIUM_DATA"], "medical/nih-cxr/images").glob("**/*.[jp][pn]g"))
    film = np.asarray(Image.open(path).convert("L"))

    study = desk.ingest(to_bytes(radiograph(film, bits=8)))

    assert (study.modality, study.body_part, study.image.rows) == ("CR", "CHEST", film.shape[0])
    shown = np.asarray(Image.open(io.BytesIO(desk.call("render", study_id=study.study_id).content)))
    assert np.corrcoef(shown.ravel(), film.ravel())[0, 1] > 0.99
