"""Labelled images: read as they are said to be, patients apart; what breaks a rule is refused by its line."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.verticals.medical.fewshot.spots import archive, png, spot, zipped
from verticals.contract import InvalidInput, TooLarge, TriviumError, UnsupportedMedia, UploadedFile
from verticals.medical.fewshot.examples import LEAST, Examples, Row, read_examples, split_patients
from verticals.medical.fewshot.images import Scope, read_grey
from verticals.medical.probes import pydicom_file

SCOPE = Scope("MR", "BRAIN")


def read(content: bytes, scope: Scope = SCOPE) -> Examples:
    upload = UploadedFile(filename="x.zip", content=content)
    return read_examples(upload, scope, side=64, progress=lambda what, share: None)


def rows(*, train: int = 10, validation: int = 20) -> list[Row]:
    """As many patients of each class, an image each."""
    sides = ["train"] * train + ["validation"] * validation
    told = [(label, split) for label in (0, 1) for split in sides]
    return [Row(i + 2, f"{i}.png", label, f"p{i}", split) for i, (label, split) in enumerate(told)]  # type: ignore[arg-type]


def refused(*lines: str, files: dict[str, bytes] | None = None, header: str = "file,label,patient") -> TriviumError:
    kept = {"a.png": png(spot(0, present=True)), "b.png": png(spot(1, present=False))} if files is None else files
    with pytest.raises(TriviumError) as caught:
        read(zipped(kept | {"labels.csv": "\n".join((header, *lines)).encode()}))
    return caught.value


def test_half_of_the_patients_of_each_class_validate_where_no_side_is_stated() -> None:
    found = read(archive(present=44, absent=50))

    assert found.pictures_BSS.shape == (94, 64, 64)
    assert [found.only(side).num_patients(label) for side in ("train", "validation") for label in (1, 0)] == [
        *(22, 25),
        *(22, 25),
    ]
    assert not set(found.only("train").patient_B) & set(found.only("validation").patient_B)


def test_validation_takes_what_it_needs_of_few_patients() -> None:
    found = read(archive(present=30, absent=30))

    assert [len(found.only(side).labels_B) for side in ("train", "validation")] == [20, 40]


def test_a_folder_in_the_archive_and_words_as_labels_are_read() -> None:
    lines = ["file,label,patient,split"]
    files: dict[str, bytes | str] = {}
    for i, row in enumerate(rows()):
        files[f"brains/{i}.png"] = png(spot(i, present=bool(row.label)))
        lines.append(f"{i}.png,{'present' if row.label else 'absent'},{row.patient},{row.split}")
    found = read(zipped(files | {"brains/labels.csv": "\ufeff" + "\r\n".join(lines)}))

    assert found.labels_B.tolist() == [row.label for row in rows()]
    assert found.split_B.tolist() == [row.split for row in rows()]


def test_the_order_of_the_lines_does_not_change_the_data() -> None:
    files = {f"{i}.png": png(spot(i, present=i < 30)) for i in range(60)}
    lines = [f"{i}.png,{int(i < 30)},p{i}" for i in range(60)]

    one, other = (
        read(zipped(files | {"labels.csv": "\n".join(("file,label,patient", *order)).encode()}))
        for order in (lines, lines[::-1])
    )

    assert one.sha256 == other.sha256


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("c.png,1,p", "line 2: must name a file of the archive"),
        ("a.png,2,p", "line 2: label must be one of 1, present, 0, absent"),
        ("a.png,,p", "line 2: label must be one of"),
        ("a.png,1, ", "line 2: must have a value in each column"),
        ("a.png,1,p,more", "line 2: must have a value in each column, and no more"),
        ("a.png,1,p\na.png,0,p", "line 3: names the file of line 2 again"),
        ("a.png,1,p", "must name every file of the archive"),
        ("", "must name at least one image"),
    ],
)
def test_a_wrong_line_is_named(line: str, rule: str) -> None:
    error = refused(line)

    assert isinstance(error, InvalidInput)
    assert rule in str(error)


def test_no_error_names_a_file_or_a_patient() -> None:
    told = str(refused("Mustermann.png,1,Erika")) + str(refused("a.png,yes,Erika")) + str(refused("a.png,1,Erika"))

    assert "Mustermann" not in told
    assert "Erika" not in told
    assert "a.png" not in told


def test_a_table_with_other_columns_is_refused() -> None:
    assert "must have the columns file, label, patient" in str(
        refused("a.png,1,p,train", header="file,label,patient,x")
    )
    assert "split must be one of train, validation" in str(refused("a.png,1,p,test", header="file,label,patient,split"))
    assert "must be a CSV table in UTF-8" in str(refused('a.png,"1,p'))


@pytest.mark.parametrize(
    ("content", "error", "rule"),
    [
        (b"no archive", UnsupportedMedia, "must be a ZIP archive"),
        (zipped({"a.png": b""}), InvalidInput, "must hold exactly one labels.csv"),
        (zipped({"labels.csv": bytes(10**7)}, how=8), TooLarge, "must unpack to at most 200 times its size"),
    ],
    ids=["no archive", "no labels", "bomb"],
)
def test_an_archive_that_breaks_a_rule_is_refused(content: bytes, error: Any, rule: str) -> None:
    with pytest.raises(error, match=rule):
        read(content)


def test_a_patient_on_both_sides_is_refused() -> None:
    told = rows()
    told[-1] = replace(told[-1], patient=told[0].patient)

    with pytest.raises(InvalidInput, match=r"line 61: the patient of line 2 must not be on the other side too"):
        split_patients(told)


@pytest.mark.parametrize(("side", "counts"), [("train", {"train": 9}), ("validation", {"validation": 19})])
def test_too_few_patients_of_a_class_are_refused(side: str, counts: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=f"at least {LEAST[side]} patients with label present for {side}"):
        split_patients(rows(**counts))


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"patients with label absent for train \(got 0\)"):
        split_patients([replace(row, label=1) for row in rows()])


def test_too_many_training_images_are_refused() -> None:
    with pytest.raises(TooLarge, match=r"at most 200 images for train \(got 202\)"):
        split_patients(rows(train=101))


def test_the_same_pixels_twice_are_refused_even_in_another_file_format() -> None:
    pixels = spot(0, present=True)
    buffer = io.BytesIO()
    Image.fromarray(np.stack((pixels,) * 3, -1)).save(buffer, "PNG")
    files = {f"{i}.png": png(spot(i, present=i < 30)) for i in range(59)} | {"again.png": buffer.getvalue()}
    lines = [f"{i}.png,{int(i < 30)},p{i}" for i in range(59)] + ["again.png,0,other"]

    assert "line 61: the same pixels as in line 2" in str(refused(*lines, files=files))


def test_a_file_that_is_no_image_is_refused_by_its_line() -> None:
    files = {f"{i}.png": png(spot(i, present=i < 30)) for i in range(59)} | {"x.png": b"\x89PNG\r\n\x1a\n no more"}
    lines = [f"{i}.png,{int(i < 30)},p{i}" for i in range(59)] + ["x.png,0,p59"]
    told = refused(*lines, files=files)
    other = refused(*lines, files=files | {"x.png": b"text"})

    assert "labels.csv, line 61: image: must be a whole JPEG or PNG picture" in str(told)
    assert isinstance(other, UnsupportedMedia)
    assert "labels.csv, line 61: file: must be a DICOM Part 10 file" in str(other)


def test_a_dicom_file_must_be_of_the_stated_modality_and_body_part() -> None:
    content = pydicom_file("MR_small.dcm")

    assert read_grey(content, Scope("MR", "UNKNOWN")).shape == (64, 64)
    with pytest.raises(InvalidInput, match=r"Modality \(0008,0060\): must be CT"):
        read_grey(content, Scope("CT", "UNKNOWN"))
    with pytest.raises(InvalidInput, match=r"BodyPartExamined \(0018,0015\): must be BRAIN"):
        read_grey(content, SCOPE)


def test_transparency_and_more_than_8_bits_are_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(buffer, "PNG")

    with pytest.raises(UnsupportedMedia, match="8 bits, without transparency"):
        read_grey(buffer.getvalue(), SCOPE)
