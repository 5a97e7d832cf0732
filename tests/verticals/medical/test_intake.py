"""Intake: studies of many instances, several files at once, and what waits for a person."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import func, select

from tests.verticals.medical.slices import ct_series, ct_slice, enhanced_ct
from verticals.contract import Conflict, InvalidInput, NotFound, TooLarge, UploadedFile
from verticals.medical import series, tables
from verticals.medical.instance_tables import MedicalHeld, MedicalInstance, MedicalRefusal, list_instances, read_dicom
from verticals.medical.probes import phantom, radiograph, to_bytes

SLICES = [to_bytes(each) for each in ct_series(4)]


def with_stripes(uid: str = "1.2.826.0.1.3680043.8.498.7", **values: Any) -> bytes:
    """A radiograph with what the tests' reader takes for a name in its top rows."""
    image = phantom(0, size=160)
    image[:8] = np.arange(160) % 2 * 4095
    dataset = radiograph(image, uid=uid)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return to_bytes(dataset)


def count(desk: Any, table: type) -> int:
    with desk.resources.sessions() as session:
        return int(session.scalar(select(func.count()).select_from(table)))


def send(desk: Any, *contents: bytes) -> Any:
    return desk.call("ingest_files", files=[UploadedFile(filename="x", content=each) for each in contents])


def archive(*contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for number, content in enumerate(contents):
            made.writestr(f"Mustermann^Erika/{number}.dcm", content)
    return buffer.getvalue()


# --- studies ---------------------------------------------------------------------------------------------------------


def test_instances_of_one_study_are_one_line_of_the_worklist(desk: Any) -> None:
    first, *rest = [desk.ingest(each) for each in SLICES]

    page = desk.call("list_studies")
    study = desk.call("get_study", study_id=first.study_id)
    assert {each.study_id for each in rest} == {first.study_id}
    assert (page.total, page.studies[0].num_instances) == (1, 4)
    assert [(s.series_number, s.modality, len(s.instances)) for s in study.series] == [(2, "CT", 4)]
    assert study.report.report_id == first.report.report_id
    assert study.report.version == 1
    assert sum(study.series[0].quality.values()) == 4


def test_the_stored_instances_make_the_volume_that_was_sent(desk: Any) -> None:
    for each in reversed(SLICES):
        study = desk.ingest(each)

    with desk.resources.sessions() as session:
        rows = list_instances(session, desk.tenant, study.study_id)
        volume = series.assemble(dcmread(io.BytesIO(read_dicom(row))) for row in rows)

    assert [row.instance_number for row in rows] == [1, 2, 3, 4]
    assert np.array_equal(volume.values, series.assemble(ct_series(4)).values)


def test_an_enhanced_ct_is_taken_in_and_each_frame_is_shown(desk: Any) -> None:
    study = desk.ingest(to_bytes(enhanced_ct(3)))

    shown = [desk.call("render", study_id=study.study_id, frame=frame).content for frame in (1, 2, 3)]

    assert (study.image.frames, study.image.units, study.image.spacing_mm) == (3, "HU", (0.5, 0.75))
    assert all(content.startswith(b"\x89PNG") for content in shown)


def test_objects_of_one_new_study_that_arrive_at_once_make_one_study(desk: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        studies = list(pool.map(desk.ingest, [*SLICES, *SLICES]))

    assert len({study.study_id for study in studies}) == 1
    assert (count(desk, tables.MedicalStudy), count(desk, MedicalInstance)) == (1, 4)
    assert sum(not study.already_present for study in studies) == 4


def test_any_image_of_the_study_is_rendered_by_its_id(desk: Any) -> None:
    for each in SLICES:
        study = desk.ingest(each)
    other = desk.ingest(to_bytes(radiograph(phantom(1, size=64))))
    first, second = study.series[0].instances[:2]
    window = {"window_center": -900, "window_width": 400}

    def pixels(**which: Any) -> Any:
        return np.asarray(
            Image.open(io.BytesIO(desk.call("render", study_id=study.study_id, **window, **which).content))
        )

    assert np.array_equal(pixels(), pixels(instance_id=first))
    assert pixels(instance_id=second).mean() > pixels(instance_id=first).mean()
    with pytest.raises(InvalidInput, match="instance_id: must be an image of the study"):
        pixels(instance_id=other.series[0].instances[0])
    with pytest.raises(NotFound, match="no such image"):
        pixels(instance_id="in_0")


def test_a_study_has_one_patient_and_a_series_one_study_and_modality(desk: Any) -> None:
    desk.ingest(SLICES[0])
    stranger, elsewhere, other = ct_slice(1), ct_slice(2), radiograph(phantom(0, size=64))
    stranger.PatientID = "SOMEONE ELSE"
    elsewhere.StudyInstanceUID = "1.2.3.99"
    other.StudyInstanceUID, other.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"

    for dataset, rule in (
        (stranger, r"PatientID \(0010,0020\): must be the patient of the study's other objects"),
        (elsewhere, r"SeriesInstanceUID \(0020,000e\): must be of one study"),
        (other, r"Modality \(0008,0060\): must be CT, as in the series' other objects"),
    ):
        with pytest.raises(Conflict, match=rule):
            desk.ingest(to_bytes(dataset))

    assert count(desk, MedicalInstance) == count(desk, tables.MedicalStudy) == 1


def test_an_image_that_comes_after_signing_is_kept_and_counted(desk: Any) -> None:
    report = desk.sign(desk.complete(desk.ingest(SLICES[0]).report))

    late = desk.ingest(SLICES[1])

    assert (late.num_after_signing, late.report) == (1, report)


def test_a_study_over_the_setting_is_refused_and_the_rest_of_it_stays(desk: Any) -> None:
    desk.resources.max_study_bytes = 2 * len(SLICES[0])
    small = desk.rebuilt()

    answer = send(small, *SLICES)

    assert [each.status for each in answer.objects] == ["stored", "refused", "refused", "refused"]
    assert "TRIVIUM_MAX_STUDY_MB" in answer.objects[1].reason
    with pytest.raises(TooLarge, match=r"StudyInstanceUID \(0020,000d\): a study may hold"):
        small.ingest(SLICES[1])


def test_when_the_audit_trail_fails_in_the_middle_of_a_study_whole_objects_stay(desk: Any) -> None:
    desk.ingest(SLICES[0])
    desk.recorder.fails = True

    with pytest.raises(RuntimeError, match="audit trail"):
        desk.ingest(SLICES[1])

    assert count(desk, MedicalInstance) == 1
    desk.recorder.fails = False
    assert not desk.ingest(SLICES[1]).already_present


# --- several files ---------------------------------------------------------------------------------------------------


def test_a_bad_object_among_good_ones_is_refused_alone_with_its_rule(desk: Any, mr: bytes) -> None:
    bad = ct_slice(2)
    del bad.PixelSpacing

    answer = send(desk, SLICES[0], b"not a DICOM file" * 20, to_bytes(bad), mr, SLICES[0])

    assert [each.status for each in answer.objects] == ["stored", "refused", "refused", "stored", "already present"]
    assert [each.http_status for each in answer.objects] == [200, 415, 422, 200, 200]
    assert "PixelSpacing (0028,0030): is required (PS3.3 C.7.6.2)" in answer.objects[2].reason
    assert (answer.stored, answer.already_present, answer.refused, len(answer.studies)) == (2, 1, 2, 2)
    refusals = desk.call("list_refusals")
    assert refusals.total == 2
    assert {each.reason for each in refusals.refusals} == {each.reason for each in answer.objects if each.reason}


def test_an_archive_is_as_good_as_its_files(desk: Any, mr: bytes) -> None:
    answer = send(desk, archive(*SLICES, b"a letter to Erika Mustermann"), mr)

    assert (answer.stored, answer.refused, len(answer.studies)) == (5, 1, 2)
    assert "Mustermann" not in answer.model_dump_json()


def test_a_refused_archive_is_one_refusal_and_what_follows_is_taken(desk: Any, mr: bytes) -> None:
    answer = send(desk, archive(bytes(10**7)), mr)

    assert [each.status for each in answer.objects] == ["refused", "stored"]
    assert "archive: must unpack to at most 200 times its size" in answer.objects[0].reason


def test_the_same_refused_object_again_is_one_refusal(desk: Any) -> None:
    once, again = (send(desk, b"x" * 200).objects[0] for _ in range(2))

    assert once.id == again.id
    assert count(desk, MedicalRefusal) == 1


def test_a_fault_of_ours_is_a_refusal_without_its_words_and_the_queue_goes_on(desk: Any, mr: bytes) -> None:
    class Breaks:
        version = "breaks@1"

        def read(self, grey_HW: Any) -> Any:
            if grey_HW.shape == (320, 320):  # the radiograph, magnified
                raise KeyError("MUSTERMANN")
            return []

    answer = send(desk.rebuilt(reader=Breaks()), with_stripes(), mr)

    assert [each.status for each in answer.objects] == ["refused", "stored"]
    assert "a fault in this program (KeyError)" in answer.objects[0].reason
    assert "MUSTERMANN" not in answer.objects[0].reason


# --- held ------------------------------------------------------------------------------------------------------------


def test_an_image_with_text_waits_for_a_person_and_nothing_is_made_of_it(desk: Any) -> None:
    with pytest.raises(InvalidInput, match=r"PixelData \(7fe0,0010\): the pixels may hold text .*hd_"):
        desk.ingest(with_stripes())

    [held] = desk.call("list_held").objects
    assert (held.state, held.modality, held.frames) == ("held", "CR", 1)
    assert held.reason.startswith("PixelData (7fe0,0010): text was found in the pixels: ")
    assert held.places[0].top == 0
    assert count(desk, tables.MedicalStudy) == 0
    assert [each.kind for each in desk.recorder.decisions] == ["medical.hold"]
    assert send(desk, with_stripes()).objects[0].id == held.held_id
    assert count(desk, MedicalHeld) == 1


def test_an_image_whose_header_admits_text_waits_even_where_none_is_found(desk: Any, ct: bytes) -> None:
    dataset = dcmread(io.BytesIO(ct))
    dataset.BurnedInAnnotation = "YES"

    answer = send(desk, to_bytes(dataset))

    assert answer.held == 1
    assert desk.call("list_held").objects[0].reason.startswith("BurnedInAnnotation (0028,0301): is YES: ")


def test_a_header_that_denies_text_is_not_believed(desk: Any) -> None:
    assert send(desk, with_stripes(BurnedInAnnotation="NO")).held == 1


def test_a_person_masks_the_text_and_the_image_is_taken_in(desk: Any) -> None:
    held = send(desk, with_stripes()).objects[0]
    shown = desk.call("show_held", held_id=held.id)
    mask = {"left": 0, "top": 0, "right": 159, "bottom": 7}

    done = desk.call("release_held", held_id=held.id, name="Dr. A. Reader", attest=True, masks=[mask])

    study = desk.call("get_study", study_id=done.study_id)
    with desk.resources.sessions() as session:
        image = dcmread(io.BytesIO(read_dicom(list_instances(session, desk.tenant, done.study_id)[0])))
        left_behind = session.execute(select(MedicalHeld.dicom)).scalar_one()
    assert shown.media_type == "image/png"
    assert np.ptp(image.pixel_array[:8]) == 0
    assert np.array_equal(image.pixel_array[8:], phantom(0, size=160)[8:])
    assert image.BurnedInAnnotation == "NO"
    assert [code.CodeValue for code in image.DeidentificationMethodCodeSequence] == ["113100", "113107", "113101"]
    assert "masked 1 region" in study.deidentification.warnings[-1]
    assert left_behind == b""
    assert desk.call("list_held").objects[0].state == "masked"
    kinds = [each.kind for each in desk.recorder.decisions]
    assert kinds == ["medical.hold", "medical.show_held", "medical.ingest", "medical.decide_held"]
    assert send(desk, with_stripes()).objects[0].status == "already present"


def test_a_person_may_find_that_nothing_identifies_anybody(desk: Any) -> None:
    held = send(desk, with_stripes()).objects[0]
    with pytest.raises(InvalidInput, match="attest: must be true"):
        desk.call("release_held", held_id=held.id, name="Dr. A. Reader", attest=False)

    done = desk.call("release_held", held_id=held.id, name="Dr. A. Reader", attest=True)

    assert done.status == "stored"
    assert desk.call("list_held").objects[0].state == "released"
    with pytest.raises(Conflict, match="somebody has decided already: released"):
        desk.call("discard_held", held_id=held.id, name="Dr. A. Reader")


def test_a_discarded_object_is_refused_when_it_comes_again(desk: Any) -> None:
    held = send(desk, with_stripes()).objects[0]

    gone = desk.call("discard_held", held_id=held.id, name="Dr. A. Reader", reason="wrong patient")

    assert (gone.state, gone.decided_by, gone.discarded_because) == ("discarded", "Dr. A. Reader", "wrong patient")
    assert desk.call("list_held").objects == [gone]
    assert desk.recorder.decisions[-1].outcome["reason"] == "wrong patient"
    assert "a person has discarded" in send(desk, with_stripes()).objects[0].reason
    with pytest.raises(Conflict, match="somebody has decided already"):
        desk.call("show_held", held_id=held.id)


def test_another_tenant_sees_neither_refusals_nor_held_objects(desk: Any) -> None:
    held = send(desk, with_stripes(), b"x").objects[0]
    other = desk.as_tenant("clinic")

    assert other.call("list_refusals").total == other.call("list_held").total == 0
    for operation in ("show_held", "discard_held", "release_held"):
        fields = {} if operation == "show_held" else {"name": "Dr. X. Y"}
        with pytest.raises(NotFound, match="no such held object"):
            other.call(operation, held_id=held.id, **fields, **({"attest": True} if "release" in operation else {}))


def test_dates_keep_their_distance_within_a_patient(desk: Any) -> None:
    def study(uid: str, day: str, patient: str = "P1") -> Dataset:
        dataset = radiograph(phantom(0, size=64), uid=uid)
        dataset.StudyDate, dataset.PatientID = day, patient
        return dataset

    first, second, theirs = (
        desk.ingest(to_bytes(each)).study_date
        for each in (study("1.1", "20250110"), study("1.2", "20250214"), study("1.3", "20250110", "P2"))
    )

    def as_day(text: str) -> np.datetime64:
        return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}")

    assert as_day(second) - as_day(first) == np.timedelta64(35, "D")
    assert first not in ("20250110", theirs)
