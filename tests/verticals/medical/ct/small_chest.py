"""A chest of a few voxels: one air-filled box in tissue with balls and a tube, as volume, as DICOM and as LUNA16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.verticals.medical.slices import ct_slice
from verticals.medical.series import Volume

SPACING_MM = (1.5, 1.2, 1.2)
SHAPE = (44, 60, 60)


def small_chest(seed: int, *, num_nodules: int = 3) -> tuple[Volume, NDArray[np.float64]]:
    """The volume, and (x, y, z, diameter) of each ball, mm."""
    draw = np.random.default_rng(seed)
    z, y, x = (np.arange(n) * s - n * s / 2 for n, s in zip(SHAPE, SPACING_MM, strict=True))
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    values = np.where((np.abs(y) < 28) & (np.abs(x) < 28), -860.0, 40.0) + np.zeros(SHAPE)
    values[:, :3] = values[:, -3:] = values[:, :, :3] = values[:, :, -3:] = -1000
    values += np.where(np.hypot(y - 10, z - 5) < 2.0, 900.0, 0) * (np.abs(x) < 28)
    places = draw.permutation([(-18, -14, -16), (-16, 14, -12), (16, -14, 12), (0, -16, 0), (17, 16, 14)])
    nodules = []
    for place in places[:num_nodules]:
        diameter = draw.uniform(5, 9)
        distance = np.sqrt((x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2)
        values = np.maximum(values, -860 + np.clip(diameter / 2 - distance + 0.5, 0, 1) * 900)
        nodules.append((*place, diameter))
    values += draw.normal(0, 20, SHAPE)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = SPACING_MM
    affine[:, 3] = (*(-n * s / 2 for n, s in zip(SHAPE[::-1], SPACING_MM[::-1], strict=True)), 1)
    slices = tuple((f"2.25.{seed + 1}.{i + 1}", 1) for i in range(SHAPE[0]))
    whole = np.rint(values.clip(-1024, 3071)).astype(np.float32)
    return Volume(whole, "HU", affine, SPACING_MM, f"2.25.{seed + 1}", slices), np.array(nodules).reshape(-1, 4)


def to_slices(volume: Volume) -> list[Dataset]:
    """The same as CT images."""
    made = []
    for i, plane in enumerate(volume.values):
        image = ct_slice(i)
        image.Rows, image.Columns = plane.shape
        image.PixelSpacing = [f"{s:g}" for s in volume.spacing_mm[1:]]
        image.ImagePositionPatient = [f"{v:.6g}" for v in (volume.affine @ (i, 0, 0, 1))[:3]]
        image.RescaleIntercept, image.BodyPartExamined = -1024, "CHEST"
        image.PixelData = (plane + 1024).astype("<u2").tobytes()
        made.append(image)
    return made


def write_luna(folder: Path, chests: dict[str, tuple[Volume, NDArray[np.float64]]]) -> Path:
    """Scans and tables as LUNA16 has them."""
    folder.mkdir(parents=True)
    annotations, candidates = ["seriesuid,coordX,coordY,coordZ,diameter_mm"], ["seriesuid,coordX,coordY,coordZ,class"]
    for uid, (volume, nodules) in chests.items():
        (folder / f"{uid}.raw").write_bytes(volume.values.astype("<i2").tobytes())
        header = {
            "ObjectType": "Image",
            "NDims": "3",
            "BinaryDataByteOrderMSB": "False",
            "CompressedData": "False",
            "TransformMatrix": "1 0 0 0 1 0 0 0 1",
            "Offset": " ".join(f"{v:g}" for v in volume.affine[:3, 3]),
            "ElementSpacing": " ".join(f"{s:g}" for s in volume.spacing_mm[::-1]),
            "DimSize": " ".join(str(n) for n in volume.values.shape[::-1]),
            "ElementType": "MET_SHORT",
            "ElementDataFile": f"{uid}.raw",
        }
        (folder / f"{uid}.mhd").write_text("\n".join(f"{name} = {value}" for name, value in header.items()) + "\n")
        annotations += [f"{uid},{x},{y},{z},{d}" for x, y, z, d in nodules]
        candidates.append(f"{uid},0,0,0,0")
    (folder / "annotations.csv").write_text("\n".join(annotations) + "\n")
    (folder / "candidates.csv").write_text("\n".join(candidates) + "\n")
    return folder
