"""LUNA16-shaped folders: read as they were written, trained on, and refused with file, field and rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.verticals.medical.ct.small_chest import small_chest, write_luna
from verticals.contract import InvalidInput
from verticals.medical.ct import froc
from verticals.medical.ct.luna import open_luna, read_mhd
from verticals.medical.ct.model import NoduleModel
from verticals.medical.ct.training import Observation, observe, train


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[Observation]:
    folder = write_luna(tmp_path_factory.mktemp("luna") / "set", {f"1.2.{i}": small_chest(i) for i in range(5)})
    return [observe(scan) for scan in open_luna(folder)]


def test_a_volume_is_read_as_it_was_written(tmp_path: Path) -> None:
    volume, nodules = small_chest(1)
    folder = write_luna(tmp_path / "set", {"1.2.1": (volume, nodules)})

    (scan,) = open_luna(folder)

    assert np.array_equal(scan.volume.values, volume.values)
    assert scan.volume.affine == pytest.approx(volume.affine)
    assert scan.volume.spacing_mm == pytest.approx(volume.spacing_mm)
    assert np.column_stack([scan.centers_mm, scan.diameters_mm]) == pytest.approx(nodules)


def test_a_scan_that_no_table_names_is_left_out_and_one_without_nodules_is_kept(tmp_path: Path) -> None:
    folder = write_luna(tmp_path / "set", {"1.2.1": small_chest(1), "1.2.2": small_chest(2, num_nodules=0)})
    (folder / "1.2.3.mhd").write_text((folder / "1.2.1.mhd").read_text())

    assert [len(scan.diameters_mm) for scan in open_luna(folder)] == [3, 0]


def test_the_nodules_are_found_and_the_trained_model_is_the_same_each_time(
    seen: list[Observation], tmp_path: Path
) -> None:
    files, card = train(seen, lambda *_: None, trained_on="small chests", licence="none")
    again, _ = train(seen, lambda *_: None, trained_on="small chests", licence="none")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    model = NoduleModel.load({name: tmp_path / name for name in files})
    marks = [scan.marks(model.scores(scan.features_CF)) for scan in seen]

    assert files == again
    assert froc.cpm(marks) > 0.9
    assert "Never validated on patients" in card["limits"]
    assert len(card["metrics"]["cpm_held_out"]) == len(card["metrics"]["cpm_blobs_alone"]) == 3


def test_too_little_to_learn_from_is_refused(seen: list[Observation]) -> None:
    with pytest.raises(InvalidInput, match="at least 5 scans"):
        train(seen[:2], lambda *_: None, trained_on="", licence="")


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    for name in ("trees.json", "facts.json"):
        (tmp_path / name).write_text("{}")

    with pytest.raises(ValueError, match="no readable medical"):
        NoduleModel.load({name: tmp_path / name for name in ("trees.json", "facts.json")})


def _swap(old: str, new: str) -> Callable[[Path], object]:
    return lambda file: file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (_swap("NDims = 3", "NDims = 2"), "NDims: must be 3"),
        (_swap("MET_SHORT", "MET_LONG_LONG"), "ElementType: must be one of"),
        (_swap("ElementSpacing = 1.2", "ElementSpacing = -1.2"), "ElementSpacing: must be above 0"),
        (_swap("ElementSpacing = 1.2", "ElementSpacing ="), "ElementSpacing: must be 3 numbers"),
        (_swap("ElementSpacing", "Spacing"), "ElementSpacing: is required"),
        (_swap("DimSize = 60", "DimSize = 61"), r"ElementDataFile: must hold \d+ bytes"),
        (_swap("DimSize = 60 60 44", "DimSize = 60000 60000 60000"), "DimSize: must be at least 2"),
        (_swap("DataFile = ", "DataFile = ../"), "must name a file beside the header"),
        (_swap("DataFile = 1", "DataFile = 7"), "must be beside the header"),
        (_swap("TransformMatrix = 1 0", "TransformMatrix = 1 1"), "TransformMatrix: must be a rotation"),
        (_swap("ByteOrderMSB = False", "ByteOrderMSB = True"), "BinaryDataByteOrderMSB: must be False"),
        (lambda file: file.write_text("x" * 70_000), "header: must have at most"),
    ],
)
def test_a_malformed_volume_is_refused(tmp_path: Path, spoil: Callable[[Path], object], rule: str) -> None:
    folder = write_luna(tmp_path / "set", {"1.2.1": small_chest(1)})
    spoil(folder / "1.2.1.mhd")

    with pytest.raises(InvalidInput, match=rule):
        read_mhd(folder / "1.2.1.mhd")


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("annotations.csv", "seriesuid,coordX\n", "must have the column coordY"),
        ("annotations.csv", "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2.1,0,0,?,4\n", "line 2: coordZ"),
        ("annotations.csv", "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2.1,0,0,0,-4\n", "must be above 0"),
        ("candidates.csv", "seriesuid\n\n,\n", "seriesuid: is required|line"),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(tmp_path: Path, name: str, text: str, rule: str) -> None:
    folder = write_luna(tmp_path / "set", {"1.2.1": small_chest(1)})
    (folder / name).write_text(text)

    with pytest.raises(InvalidInput, match=rule):
        list(open_luna(folder))


def test_a_folder_without_scans_or_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"must hold \.mhd files"):
        open_luna(tmp_path)
    (tmp_path / "a.mhd").write_text("")
    with pytest.raises(InvalidInput, match=r"annotations\.csv"):
        open_luna(tmp_path)
