"""De-identification: no planted identifier survives, what identifies no one does, and the account is true."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pydicom import dcmread

from verticals.medical import confidentiality
from verticals.medical.deidentify import Pseudonyms, deidentify, to_file
from verticals.medical.ingest import read
from verticals.medical.probes import (
    VALID_FILES,
    phantom,
    pydicom_file,
    radiograph,
    to_bytes,
)

PSEUDONYMS = Pseudonyms(b"k" * 32)


@pytest.mark.parametrize(
    "keyword",
    ["StudyDescription", "PatientComments", "BodyPartExamined", "ImageType", "ScanOptions", "StationName", "KVP"],
)
def test_an_identifier_in_free_or_coded_text_is_removed(keyword: str) -> None:
    dataset = radiograph(phantom(0, size=64))
    dataset[keyword] = type(dataset["PatientName"])(keyword, "SH", "MUSTERMANN")

    clean, _ = deidentify(read(to_bytes(dataset)).dataset, PSEUDONYMS)

    assert b"MUSTERMANN" not in to_file(clean)


@pytest.mark.parametrize("name", VALID_FILES)
def test_no_original_text_of_a_real_header_survives(name: str) -> None:
    content = pydicom_file(name)
    original = dcmread(io.BytesIO(content))
    private = {"PatientName", "PatientID", "InstitutionName", "StationName", "StudyID", "Manufacturer", "StudyDate"}
    private |= {"SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "StudyTime"}

    clean, _ = deidentify(read(content).dataset, PSEUDONYMS)

    stored = to_file(clean)
    header = stored[: stored.index(b"\xe0\x7f\x10\x00")]
    assert not [k for k in private if (value := str(original.get(k) or "")) and value.encode() in header]
    assert not [e for e in clean.iterall() if e.tag.is_private]


def test_nothing_is_kept_that_the_profile_acts_on() -> None:
    listed = (Path(__file__).parent / "ps3_15_table_e1_1.txt").read_text().splitlines()[1:]
    profile = set(" ".join(listed).split())
    sequences = frozenset().union(*confidentiality.SEQUENCES.values()) - confidentiality.UID_SEQUENCES
    kept = confidentiality.NUMBERS | sequences | set(confidentiality.VOCABULARY) | confidentiality.STANDARD_UIDS

    assert len(profile) > 600
    assert not kept & profile


def test_the_object_says_that_and_how_it_was_de_identified(ct: bytes) -> None:
    clean, account = deidentify(read(ct).dataset, PSEUDONYMS)

    assert clean.PatientIdentityRemoved == "YES"
    assert clean.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert account.method.startswith("PS3.15 Annex E")
    by_name = {a.keyword: a for a in account.attributes}
    assert (by_name["PatientName"].action, by_name["PatientName"].tag) == ("Z", "(0010,0010)")
    assert by_name["InstitutionName"].action == "X"
    assert account.private_removed == sum(element.tag.is_private for element in read(ct).dataset)
    assert clean.LongitudinalTemporalInformationModified == "MODIFIED"


def test_uids_are_replaced_consistently_and_only_with_the_key(ct: bytes) -> None:
    same, _ = deidentify(read(ct).dataset, PSEUDONYMS)
    again, _ = deidentify(read(ct).dataset, PSEUDONYMS)
    other, _ = deidentify(read(ct).dataset, Pseudonyms(b"x" * 32))

    assert same.StudyInstanceUID == again.StudyInstanceUID != other.StudyInstanceUID
    assert same.PatientID == again.PatientID != other.PatientID
    assert same.StudyInstanceUID.startswith("2.25.")
    assert len({same.StudyInstanceUID, same.SeriesInstanceUID, same.SOPInstanceUID}) == 3


def test_patients_without_an_id_are_never_taken_for_one_patient() -> None:
    assert PSEUDONYMS.patient("", "1.2.3") != PSEUDONYMS.patient("", "1.2.4")


def test_what_the_image_needs_is_kept(ct: bytes) -> None:
    original = read(ct)
    expected = {k: original.dataset[k].value for k in ("Rows", "PixelSpacing", "RescaleIntercept", "KVP", "ImageType")}

    clean, _ = deidentify(original.dataset, PSEUDONYMS)

    stored = dcmread(io.BytesIO(to_file(clean)))
    assert {k: stored[k].value for k in expected} == expected
    assert (stored.pixel_array == original.stored[0]).all()


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Pseudonyms(b"short")
