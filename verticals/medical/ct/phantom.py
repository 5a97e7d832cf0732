"""SYNTHETIC chests with nodules whose place and size are known. A small body, in no way a patient's. Ignores DICOM.

Body, ribs, two lungs on a diaphragm, a windpipe, branching vessels (Murray's law: the cubes of the radii add up),
fissures, scars, and nodules in the open, at a vessel or at the pleura. Drawn on slices of at most 1 mm, blurred by the
kernel, averaged over the slice's thickness, with noise of the kernel's grain. The same seed gives the same chest.
Coordinates are millimetres, (z to the head, y to the back, x to the left). All attenuations are in Hounsfield units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from verticals.medical.ct.measure import Axes, axial_axes
from verticals.medical.series import Volume

Floats = NDArray[np.float64]
Density = Literal["solid", "ground_glass"]
Place = Literal["open", "vessel", "pleura"]

MIN_MM, MAX_MM = 3.0, 20.0  # of nodules, mean diameter
_LUNG, _TISSUE, _FAT, _BONE, _AIR = -860.0, 40.0, -100.0, 400.0, -1000.0
_FINE_MM = 1.0  # thickest slice that is drawn
_TRUTH_MM = 0.25  # grid on which a nodule's true size is counted
_BODY_MM = (0.0, 62.0, 88.0)  # half axes
_LUNG_MM, _LUNG_X_MM = (47.0, 46.0, 32.0), 39.0  # half axes, and how far each lies from the middle
_PLACES: tuple[Place, ...] = ("open", "vessel", "pleura")
_HALF_HEIGHT_MM = 42.0
_GREAT_MM = 2.2  # vessels of a larger radius have no nodule at them
_KERNELS = {"soft": 0.8, "sharp": 0.45}  # standard deviation of the blur, mm


@dataclass(frozen=True)
class TrueNodule:
    """What was drawn. Its size is that of the part within the lung, before blur.

    Attributes:
        center_mm: (x, y, z) in patient coordinates.
    """

    center_mm: tuple[float, float, float]
    density: Density
    place: Place
    volume_mm3: float
    axes: Axes


@dataclass(frozen=True)
class Phantom:
    """A chest and its nodules."""

    volume: Volume
    nodules: tuple[TrueNodule, ...]
    kernel: str
    noise_hu: float


@dataclass(frozen=True)
class _Grid:
    """Voxel centres along each axis, mm."""

    z: Floats
    y: Floats
    x: Floats

    def box(self, center: Floats, reach_mm: float) -> tuple[tuple[slice, slice, slice], tuple[Floats, Floats, Floats]]:
        """The part within `reach_mm` of a point, and its coordinates for broadcasting."""
        cut = []
        for axis, middle in zip((self.z, self.y, self.x), center, strict=True):
            low, high = np.searchsorted(axis, (middle - reach_mm, middle + reach_mm))
            cut.append(slice(int(low), int(high)))
        z, y, x = self.z[cut[0]], self.y[cut[1]], self.x[cut[2]]
        return (cut[0], cut[1], cut[2]), (z[:, None, None], y[None, :, None], x[None, None, :])


def make_phantom(seed: int, *, num_nodules: int | None = None) -> Phantom:
    """A chest of 1 to 2.5 mm slices.

    Args:
        num_nodules: None: 0 to 7, drawn.
    """
    draw = np.random.default_rng(seed)
    in_plane_mm = float(draw.uniform(0.85, 1.05))
    gap_mm = float(draw.choice((1.0, 1.5, 2.0, 2.5)))
    parts = int(np.ceil(gap_mm / _FINE_MM))
    num_slices = int(2 * _HALF_HEIGHT_MM / gap_mm)
    grid = _Grid(
        z=((np.arange(num_slices * parts) + 0.5) * gap_mm / parts - _HALF_HEIGHT_MM).astype(np.float32),
        y=np.arange(-68, 68, in_plane_mm, dtype=np.float32),
        x=np.arange(-94, 94, in_plane_mm, dtype=np.float32),
    )
    values, depth = _chest(grid, draw)
    branches = [branch for side in (-1, 1) for branch in _vessels(side, draw)]
    for start, end, radius in branches:
        _paint_tube(values, depth, grid, start, end, radius)
    _paint_sheets(values, depth, grid, draw)
    count = int(draw.integers(0, 8)) if num_nodules is None else num_nodules
    nodules: list[TrueNodule] = []
    for _ in range(count):
        nodules.append(_paint_nodule(values, grid, draw, branches, nodules))
    kernel = str(draw.choice(sorted(_KERNELS)))
    noise_hu = float(draw.uniform(12, 45))
    scan = _scan(values, parts, (gap_mm / parts, in_plane_mm, in_plane_mm), _KERNELS[kernel], noise_hu, draw)
    return Phantom(_volume(scan, grid, gap_mm, in_plane_mm, seed), tuple(nodules), kernel, noise_hu)


def lung_depth(z: Floats, y: Floats, x: Floats) -> Floats:
    """How deep a point lies within the nearer lung, mm, about; negative outside."""
    half = np.array(_LUNG_MM)
    share = np.sqrt((z / half[0]) ** 2 + (y / half[1]) ** 2 + ((np.abs(x) - _LUNG_X_MM) / half[2]) ** 2)
    dome = -42 + 15 * (1 - (y / 46) ** 2 - ((np.abs(x) - _LUNG_X_MM) / 34) ** 2)
    heart = np.sqrt(((z + 15) / 29) ** 2 + ((y + 14) / 25) ** 2 + ((x - 14) / 28) ** 2)
    return np.asarray(np.minimum(np.minimum((1 - share) * half[2], z - dome), (heart - 1) * 26))


def _chest(grid: _Grid, draw: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Everything but vessels, sheets and nodules; and `lung_depth` of each voxel."""
    z, y, x = grid.z[:, None, None], grid.y[None, :, None], grid.x[None, None, :]
    edge = (1 - np.sqrt((y / _BODY_MM[1]) ** 2 + (x / _BODY_MM[2]) ** 2)) * _BODY_MM[1]  # depth below the skin
    plane = np.where(edge < 0, _AIR, np.where(edge < 4, _FAT, _TISSUE))
    values = np.broadcast_to(plane, (len(grid.z), len(grid.y), len(grid.x))).astype(np.float32)
    ribs = (np.abs((z + 0.35 * y) % 22 - 11) < 3.5) & (edge > 6) & (edge < 10)
    values[ribs] = _BONE
    values[np.broadcast_to(np.hypot(y - 42, x) < 10, values.shape)] = 250  # spine
    values[np.broadcast_to((np.hypot(y - 9, x) < 6) & (z > 8), values.shape)] = _AIR  # windpipe
    depth = lung_depth(z, y, x).astype(np.float32)
    share = np.clip(depth / _FINE_MM + 0.5, 0, 1)
    lung = _LUNG + draw.uniform(-25, 25) + 0.35 * y + _grain(values.shape, 6.0, 18.0, draw)
    values += share * (lung.astype(np.float32) - values)
    return values, depth


def _vessels(side: int, draw: np.random.Generator) -> list[tuple[Floats, Floats, float]]:
    """(start, end, radius) of each branch of one lung's tree, from the hilum on."""
    waiting = []
    for _ in range(5):
        heading = np.array((draw.normal(0, 0.8), draw.normal(0, 0.8), side * draw.uniform(0.4, 1.0)))
        waiting.append((np.array((draw.normal(0, 6), draw.normal(4, 6), side * 17.0)), heading, draw.uniform(2.2, 3.5)))
    made = []
    while waiting:
        start, heading, radius = waiting.pop()
        heading = heading / np.linalg.norm(heading)
        end = start + heading * radius * draw.uniform(3.5, 7)
        made.append((start, end, float(radius)))
        if radius < 0.6 or lung_depth(*end) < -2:
            continue
        share = draw.uniform(0.3, 0.7)
        for part in (share, 1 - share):
            turn = draw.normal(0, 0.45 if part > 0.5 else 0.75, 3)
            waiting.append((end, heading + turn, radius * part ** (1 / 3)))
    return made


def _paint_tube(
    values: NDArray[np.float32], depth: NDArray[np.float32], grid: _Grid, start: Floats, end: Floats, radius: float
) -> None:
    """A round-ended tube of blood, within the lung only."""
    axis = end - start
    cut, (z, y, x) = grid.box((start + end) / 2, float(np.linalg.norm(axis)) / 2 + radius + 1)
    if 0 in values[cut].shape:
        return
    away = (z - start[0], y - start[1], x - start[2])
    along = np.clip(sum(a * b for a, b in zip(away, axis, strict=True)) / (axis @ axis), 0, 1)
    distance = np.sqrt(sum((a - along * b) ** 2 for a, b in zip(away, axis, strict=True)))
    _blend(values, cut, np.clip((radius - distance) / _FINE_MM + 0.5, 0, 1) * (depth[cut] > 0), _TISSUE)


def _paint_sheets(
    values: NDArray[np.float32], depth: NDArray[np.float32], grid: _Grid, draw: np.random.Generator
) -> None:
    """A fissure in each lung, and flat scars."""
    z, y, x = grid.z[:, None, None], grid.y[None, :, None], grid.x[None, None, :]
    for side in (-1, 1):
        slope, lift = draw.uniform(0.5, 1.1), draw.uniform(-10, 10)
        away = np.abs(z + slope * y - lift + 4 * np.sin(x / 17)) / np.sqrt(1 + slope**2)
        share = np.clip(0.9 - away, 0, 1) * (x * side > 0) * (depth > 0)
        _blend(values, (slice(None), slice(None), slice(None)), share, -500.0)
    for _ in range(int(draw.integers(1, 5))):
        center = _inside(draw, 4.0)
        normal = draw.normal(size=3)
        normal /= np.linalg.norm(normal)
        wide_mm, thick_mm = draw.uniform(4, 10), draw.uniform(0.5, 1.0)
        cut, axes = grid.box(center, wide_mm + 2)
        away3 = [axis - middle for axis, middle in zip(axes, center, strict=True)]
        through = sum(a * n for a, n in zip(away3, normal, strict=True))
        across = np.sqrt(np.maximum(sum(a * a for a in away3) - through**2, 0))
        share = np.clip(thick_mm - np.abs(through) + 0.5, 0, 1) * np.clip(wide_mm - across + 0.5, 0, 1)
        _blend(values, cut, share * (depth[cut] > 0), draw.uniform(-300, 0))


def _blend(values: NDArray[np.float32], cut: tuple[slice, slice, slice], share: Floats, hu: float) -> None:
    """Mix in something denser than lung; what is denser already stays."""
    part, there = values[cut], share > 0
    part[there] = np.maximum(part[there], _LUNG + share[there] * (hu - _LUNG))


def _paint_nodule(
    values: NDArray[np.float32],
    grid: _Grid,
    draw: np.random.Generator,
    branches: Sequence[tuple[Floats, Floats, float]],
    others: Sequence[TrueNodule],
) -> TrueNodule:
    density: Density = "solid" if draw.random() < 0.7 else "ground_glass"
    while True:
        radius = float(np.exp(draw.uniform(np.log(MIN_MM), np.log(MAX_MM)))) / 2
        place, center = _free_place(draw, radius, branches, others)
        share_of = _shape(draw, center, radius)
        reach = np.arange(-1.5 * radius - 1, 1.5 * radius + 1, _TRUTH_MM)
        z, y, x = (c + reach for c in center)
        filled = share_of(z[:, None, None], y[None, :, None], x[None, None, :], 1e-6) > 0.5
        if filled.any() and (axes := axial_axes(filled, (_TRUTH_MM, _TRUTH_MM))).mean_mm >= MIN_MM:
            break  # else the wall leaves too little of it
    hu = float(draw.uniform(-20, 80) if density == "solid" else draw.uniform(-680, -480))
    cut, near = grid.box(center, 1.5 * radius + 2)
    _blend(values, cut, share_of(*near, _FINE_MM), hu)
    at = np.argwhere(filled).mean(axis=0)
    middle = tuple(float(axis[0] + i * _TRUTH_MM) for axis, i in zip((x, y, z), at[::-1], strict=True))
    return TrueNodule(
        center_mm=(middle[0], middle[1], middle[2]),
        density=density,
        place=place,
        volume_mm3=float(filled.sum() * _TRUTH_MM**3),
        axes=axes,
    )


def _shape(draw: np.random.Generator, center: Floats, radius: float) -> Callable[..., Floats]:
    """An ellipsoid with bumps, of which only what lies in the lung is there: share of each voxel that it fills."""
    half = radius * np.exp(draw.normal(0, 0.1, 3))
    bumps = draw.normal(size=(3, 3))
    bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)
    height = draw.uniform(0, 0.1, 3)

    def share(z: Floats, y: Floats, x: Floats, soft_mm: float) -> Floats:
        away = (z - center[0], y - center[1], x - center[2])
        length = np.sqrt(sum(a * a for a in away)) + 1e-9
        rim = 1 + sum(
            h * np.maximum(sum(a * b for a, b in zip(away, bump, strict=True)) / length, 0) ** 4
            for h, bump in zip(height, bumps, strict=True)
        )
        scaled = np.sqrt(sum((a / h) ** 2 for a, h in zip(away, half, strict=True)))
        inside = np.clip((rim - scaled) * radius / soft_mm + 0.5, 0, 1)
        return np.asarray(inside * np.clip(lung_depth(z, y, x) / soft_mm + 0.5, 0, 1))

    return share


def _free_place(
    draw: np.random.Generator,
    radius: float,
    branches: Sequence[tuple[Floats, Floats, float]],
    others: Sequence[TrueNodule],
) -> tuple[Place, Floats]:
    """A kind of place and a centre, off the great vessels and the other nodules, where the scan reaches."""
    great = [branch for branch in branches if branch[2] > _GREAT_MM]
    while True:
        place = _PLACES[int(draw.choice(3, p=(0.4, 0.25, 0.35)))]
        center = _inside(draw, 1.0)
        if place == "vessel":
            start, end, thick = branches[int(draw.integers(len(branches)))]
            side = draw.normal(size=3)
            center = (start + end) / 2 + side / np.linalg.norm(side) * (thick + radius * 0.8)
        elif place == "pleura":
            center = _at_wall(center, draw.normal(size=3), draw.uniform(0.1, 0.5) * radius)
        depth = float(lung_depth(*center))
        wanted = (0.0, 0.6 * radius) if place == "pleura" else (radius + 1, np.inf)
        if not wanted[0] <= depth <= wanted[1] or abs(center[0]) > _HALF_HEIGHT_MM - radius - 3:
            continue
        if any(np.linalg.norm(center[::-1] - other.center_mm) < radius + other.axes.long_mm + 4 for other in others):
            continue
        if all(_distance(center, start, end) > radius + thick for start, end, thick in great):
            return place, center


def _at_wall(start: Floats, heading: Floats, depth_mm: float) -> Floats:
    """Where a way from a place in the lung comes so near to its wall."""
    way = start + np.arange(0, 105, 0.3)[:, None] * heading / np.linalg.norm(heading)
    return np.asarray(way[int((lung_depth(*way.T) <= depth_mm).argmax())])


def _inside(draw: np.random.Generator, depth_mm: float) -> Floats:
    while True:
        center = draw.uniform((-40, -46, -72), (42, 46, 72))
        if lung_depth(*center) > depth_mm:
            return np.asarray(center)


def _distance(point: Floats, start: Floats, end: Floats) -> float:
    axis = end - start
    along = np.clip((point - start) @ axis / (axis @ axis), 0, 1)
    return float(np.linalg.norm(point - start - along * axis))


def _grain(shape: tuple[int, ...], size: float, hu: float, draw: np.random.Generator) -> Floats:
    """Smooth random structure of about `size` voxels and standard deviation `hu`."""
    from scipy.ndimage import zoom

    step = int(size)
    coarse = draw.normal(0, hu, [n // step + 2 for n in shape]).astype(np.float32)
    fine = zoom(coarse, step, order=1)
    return np.asarray(fine[tuple(slice(0, n) for n in shape)])


def _scan(
    values: NDArray[np.float32],
    parts: int,
    spacing_mm: tuple[float, float, float],
    blur_mm: float,
    noise_hu: float,
    draw: np.random.Generator,
) -> NDArray[np.float32]:
    """What a scanner makes of it: blur, slices, noise, whole numbers."""
    from scipy.ndimage import gaussian_filter

    sigma = [blur_mm / s for s in spacing_mm]
    blurred = gaussian_filter(values, sigma, truncate=3.0)
    slices = blurred.reshape(-1, parts, *values.shape[1:]).mean(axis=1)
    noise = gaussian_filter(draw.standard_normal(slices.shape, dtype=np.float32), (0, *sigma[1:]), truncate=3.0)
    slices += noise * (noise_hu / float(noise.std()))
    return np.asarray(np.clip(np.rint(slices), -1024, 3071), dtype=np.float32)


def _volume(values: NDArray[np.float32], grid: _Grid, gap_mm: float, in_plane_mm: float, seed: int) -> Volume:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = gap_mm, in_plane_mm, in_plane_mm
    affine[:, 3] = (grid.x[0], grid.y[0], gap_mm / 2 - _HALF_HEIGHT_MM, 1)
    return Volume(
        values=values,
        units="HU",
        affine=affine,
        spacing_mm=(gap_mm, in_plane_mm, in_plane_mm),
        frame_of_reference_uid=f"2.25.{seed + 1}",
        slices=tuple((f"2.25.{seed + 1}.{i + 1}", 1) for i in range(len(values))),
    )
