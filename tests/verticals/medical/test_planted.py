"""De-identification as a property: of values planted in every VR at every depth, none is in what is stored."""

from __future__ import annotations

import io

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.verticals.medical.slices import ct_slice, enhanced_ct
from verticals.contract import TriviumError, UnsupportedMedia
from verticals.medical.deidentify import Pseudonyms, deidentify, to_file
from verticals.medical.ingest import read
from verticals.medical.part10 import prepare_pydicom
from verticals.medical.planting import MAKERS, plant
from verticals.medical.probes import phantom, pydicom_file, radiograph, to_bytes

prepare_pydicom()
PSEUDONYMS = Pseudonyms(b"k" * 32)


def _base(kind: str) -> Dataset:
    made = {"enhanced": lambda: enhanced_ct(3), "slice": lambda: ct_slice(0), "film": _film}
    return made[kind]() if kind in made else dcmread(io.BytesIO(pydicom_file(kind)))


def _film() -> Dataset:
    return radiograph(phantom(0, size=64))


def test_every_vr_of_the_standard_is_planted() -> None:
    assert len(MAKERS) == 33  # the 34 of PS3.5 6.2 but SQ, which is planted as such


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["CT_small.dcm", "MR_small.dcm", "enhanced", "film"])
def test_no_planted_value_is_in_the_stored_bytes(kind: str, seed: int) -> None:
    content, planted = plant(_base(kind), seed)
    present = [value for value in planted if value in content]
    assert len(present) > 300

    clean, account = deidentify(read(content).dataset, PSEUDONYMS)

    stored, told = to_file(clean), account.model_dump_json().encode()
    assert [value for value in present if value in stored] == []
    assert [value for value in present if len(value) > 4 and value in told] == []


def test_a_reference_to_another_image_of_the_study_leads_to_its_new_uid() -> None:
    first, second = ct_slice(0), ct_slice(1)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = first.SOPClassUID, first.SOPInstanceUID
    second.ReferencedImageSequence = [reference]

    one, two = (deidentify(read(to_bytes(each)).dataset, PSEUDONYMS)[0] for each in (first, second))

    assert two.ReferencedImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert two.ReferencedImageSequence[0].ReferencedSOPClassUID == first.SOPClassUID


@pytest.mark.parametrize("uid", ["1.2.840.113619.4711", "4711", "Mustermann"])
def test_a_class_that_the_standard_does_not_know_is_removed_from_a_reference(uid: str) -> None:
    dataset = ct_slice(0)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = uid, "1.2.3"
    dataset.SourceImageSequence = [reference]

    clean, _ = deidentify(read(to_bytes(dataset)).dataset, PSEUDONYMS)

    assert "ReferencedSOPClassUID" not in clean.SourceImageSequence[0]


@pytest.mark.parametrize(("date", "kept"), [("20240229", True), ("19000101", True), ("2024", False), ("x", False)])
def test_a_date_is_moved_and_what_is_none_is_emptied(date: str, kept: bool) -> None:
    dataset = _film()
    dataset.StudyDate = date

    clean, account = deidentify(read(to_bytes(dataset)).dataset, PSEUDONYMS)

    assert bool(clean.StudyDate) == kept == (account.dates_moved == 1)
    assert clean.StudyDate != date
    assert clean.StudyTime == ""


@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.5.1.4.1.1.88.11",  # Basic Text SR
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
        "1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF
        "1.2.840.10008.5.1.4.1.1.104.2",  # Encapsulated CDA
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
        "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
        "1.2.840.10008.5.1.4.1.1.9.1.1",  # a waveform
    ],
)
def test_documents_text_and_captures_are_refused(sop_class: str) -> None:
    dataset = _film()
    dataset.SOPClassUID, dataset.EncapsulatedDocument = sop_class, b"Erika Mustermann"

    with pytest.raises(UnsupportedMedia, match=r"SOPClassUID \(0008,0016\): must be a CR, CT, DX, MR"):
        read(to_bytes(dataset))


def test_overlays_and_curves_are_removed() -> None:
    dataset = dcmread(io.BytesIO(pydicom_file("examples_overlay.dcm")))
    assert any(element.tag.group == 0x6000 for element in dataset)

    clean, account = deidentify(read(to_bytes(dataset)).dataset, PSEUDONYMS)

    assert not [tag for tag in clean if tag.tag.group >> 8 in (0x50, 0x60)]
    assert "(6000,3000)" in {each.tag for each in account.attributes}


def test_sequences_nested_deeper_than_the_table_are_not_followed() -> None:
    dataset = ct_slice(0)
    item = Dataset()
    for _ in range(60):
        outer = Dataset()
        outer.SourceImageSequence = [item]
        item = outer
    dataset.SourceImageSequence = [item]

    try:
        clean, _ = deidentify(read(to_bytes(dataset)).dataset, PSEUDONYMS)
    except TriviumError:
        return
    assert len(list(clean.SourceImageSequence[0].keys())) == 0
