"""Reads scans in the shape of LUNA16: MetaImage volumes (.mhd with .raw) and CSV tables. A strict reader of our own.

`annotations.csv`: seriesuid, coordX, coordY, coordZ, diameter_mm; coordinates are the patient's, in mm. A scan without
a row has no nodule, if `candidates.csv` (or `seriesuids.csv`) names it: a scan that no table names was not read by
anybody, and is left out. Folder: `annotations.csv`, `candidates.csv`, and volumes anywhere below.
Nothing is unpickled; sizes are checked before anything is read.
"""

from __future__ import annotations

import csv
import hashlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verticals.contract import InvalidInput
from verticals.medical.ct.training import MarkedScan
from verticals.medical.series import MAX_VOXELS, Volume

Floats = NDArray[np.float64]

_TYPES = {"MET_SHORT": "<i2", "MET_USHORT": "<u2", "MET_INT": "<i4", "MET_FLOAT": "<f4", "MET_UCHAR": "<u1"}
_REQUIRED = ("NDims", "DimSize", "ElementType", "ElementSpacing", "ElementDataFile")
_MAX_HEADER, _MAX_UID = 65_536, 128


@dataclass(frozen=True)
class LunaFolder:
    """Scans and the nodules of each: (x, y, z, diameter) in mm, (N, 4)."""

    scans: tuple[tuple[str, Path], ...]
    nodules: dict[str, Floats]

    def __iter__(self) -> Iterator[MarkedScan]:
        for uid, file in self.scans:
            rows = self.nodules.get(uid, np.zeros((0, 4)))
            yield MarkedScan(read_mhd(file), rows[:, :3], rows[:, 3])


def open_luna(folder: Path) -> LunaFolder:
    """The folder's scans that somebody has read.

    Raises:
        InvalidInput: a table or every volume is missing; a row is malformed or names a scan that is not there.
    """
    files = {file.stem: file for file in sorted(folder.rglob("*.mhd"))}
    if not files:
        raise InvalidInput("must hold .mhd files", field="DIR", value=str(folder))
    nodules: dict[str, list[list[float]]] = {}
    for line, row in _rows(folder / "annotations.csv", ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")):
        numbers = [_number(row, name, line) for name in ("coordX", "coordY", "coordZ", "diameter_mm")]
        if numbers[3] <= 0:
            raise InvalidInput("must be above 0", field=f"annotations.csv line {line}: diameter_mm", value=numbers[3])
        nodules.setdefault(row["seriesuid"], []).append(numbers)
    read = {row["seriesuid"] for _, row in _rows(folder / "candidates.csv", ("seriesuid",))} | nodules.keys()
    scans = tuple((uid, file) for uid, file in files.items() if uid in read)
    if not scans:
        raise InvalidInput("must name scans of the folder", field="annotations.csv: seriesuid")
    return LunaFolder(scans, {uid: np.array(rows) for uid, rows in nodules.items()})


def _rows(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    if not file.is_file():
        raise InvalidInput("must be in the folder, as LUNA16 has it", field="DIR", value=file.name)
    with file.open(newline="", encoding="utf-8-sig") as source:
        table = csv.DictReader(source)
        if missing := [name for name in columns if name not in (table.fieldnames or ())]:
            raise InvalidInput(f"must have the column {missing[0]}", field=file.name)
        for row in table:
            if not row["seriesuid"] or len(row["seriesuid"]) > _MAX_UID:
                raise InvalidInput("is required", field=f"{file.name} line {table.line_num}: seriesuid")
            yield table.line_num, row


def _number(row: dict[str, str], name: str, line: int) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInput("must be a number", field=f"annotations.csv line {line}: {name}", value=row[name])
    return value


def read_mhd(file: Path) -> Volume:
    """A MetaImage volume in Hounsfield units.

    Raises:
        InvalidInput: a field is missing or not as LUNA16 has it; the data is shorter or longer than the header says.
    """
    header = _header(file)
    size = [int(n) for n in _numbers(header, "DimSize", 3, file)]
    spacing = _numbers(header, "ElementSpacing", 3, file)
    origin = _numbers(header, "Offset", 3, file)
    turned = np.array(_numbers(header, "TransformMatrix", 9, file)).reshape(3, 3)
    if min(size) < 2 or math.prod(size) > MAX_VOXELS:
        _refuse(file, "DimSize", f"must be at least 2 each and at most {MAX_VOXELS} voxels", header["DimSize"])
    if min(spacing) <= 0:
        _refuse(file, "ElementSpacing", "must be above 0", header["ElementSpacing"])
    if not np.allclose(turned @ turned.T, np.eye(3), atol=1e-4):
        _refuse(file, "TransformMatrix", "must be a rotation", header["TransformMatrix"])
    stored = _stored(file, header, size)
    affine = np.eye(4)
    # MetaImage lists each axis' direction in turn, x first; ours are slice, row, column.
    affine[:3, :3] = np.stack([turned[2] * spacing[2], turned[1] * spacing[1], turned[0] * spacing[0]], axis=1)
    affine[:3, 3] = origin
    uid = f"2.25.{int(hashlib.sha256(file.stem.encode()).hexdigest()[:30], 16)}"
    return Volume(
        values=stored,
        units="HU",
        affine=affine,
        spacing_mm=(spacing[2], spacing[1], spacing[0]),
        frame_of_reference_uid=uid,
        slices=tuple((f"{uid}.{i + 1}", 1) for i in range(size[2])),
    )


def _header(file: Path) -> dict[str, str]:
    if file.stat().st_size > _MAX_HEADER:
        _refuse(file, "header", f"must have at most {_MAX_HEADER} bytes", None)
    lines = file.read_text("utf-8", errors="replace").splitlines()
    header = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    defaults = {"TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": header.get("Position", "0 0 0")}
    header = {**defaults, **header}
    for name in _REQUIRED:
        if not header.get(name):
            _refuse(file, name, "is required", None)
    for name, value in (("NDims", "3"), ("BinaryDataByteOrderMSB", "False"), ("ElementNumberOfChannels", "1")):
        if header.get(name, value) != value:
            _refuse(file, name, f"must be {value}", header[name])
    if header["ElementType"] not in _TYPES:
        _refuse(file, "ElementType", f"must be one of {', '.join(_TYPES)}", header["ElementType"])
    return header


def _numbers(header: dict[str, str], name: str, count: int, file: Path) -> list[float]:
    try:
        values = [float(part) for part in header[name].split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        _refuse(file, name, f"must be {count} numbers", header[name])
    return values


def _stored(file: Path, header: dict[str, str], size: list[int]) -> NDArray[np.float32]:
    """The values, (slices, rows, columns)."""
    name = header["ElementDataFile"]
    if Path(name).name != name:
        _refuse(file, "ElementDataFile", "must name a file beside the header", name)
    source = file.with_name(name)
    if not source.is_file():
        _refuse(file, "ElementDataFile", "must be beside the header", name)
    kind = np.dtype(_TYPES[header["ElementType"]])
    expected = math.prod(size) * kind.itemsize
    with source.open("rb") as stream:
        if header.get("CompressedData", "False") == "True":
            unpacker = zlib.decompressobj()
            content = unpacker.decompress(stream.read(), expected + 1)
        else:
            content = stream.read(expected + 1)
    if len(content) != expected:
        _refuse(file, "ElementDataFile", f"must hold {expected} bytes", None)
    return np.frombuffer(content, kind).reshape(size[::-1]).astype(np.float32)


def _refuse(file: Path, name: str, rule: str, value: str | None) -> None:
    raise InvalidInput(rule, field=f"{file.name}: {name}", value=value)
