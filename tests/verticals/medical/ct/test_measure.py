"""Lungs, sizes and outlines against what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from tests.verticals.medical.ct.conftest import SEED
from verticals.medical.ct.lungs import Lungs, find_lungs
from verticals.medical.ct.measure import axial_axes, measure
from verticals.medical.ct.outlines import outlines
from verticals.medical.ct.phantom import Phantom, lung_depth, make_phantom
from verticals.medical.export.segmentation import fill
from verticals.medical.series import Volume

FINE_MM = 0.25


def ball(radius_mm: float, *, hu: float = 40.0, gap_mm: float = 1.0, pixel_mm: float = 0.7) -> Volume:
    """A ball in lung; values are the share of each voxel that it fills."""
    num, center = int(50 / gap_mm), 25.0
    z = np.arange(num) * gap_mm - center
    x = np.arange(int(50 / pixel_mm)) * pixel_mm - center
    distance = np.sqrt(z[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2)
    share = np.clip((radius_mm - distance) / pixel_mm + 0.5, 0, 1)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = gap_mm, pixel_mm, pixel_mm, 1
    values = (-860 + share * (hu + 860)).astype(np.float32)
    slices = tuple((f"2.25.{i + 1}", 1) for i in range(num))
    return Volume(values, "HU", affine, (gap_mm, pixel_mm, pixel_mm), "2.25.1", slices)


@pytest.mark.parametrize(("gap_mm", "pixel_mm"), [(1.0, 0.7), (2.0, 0.5), (0.8, 1.0)])
@pytest.mark.parametrize("radius_mm", [3.0, 5.0])
def test_a_ball_measures_what_it_is_whatever_the_spacing(radius_mm: float, gap_mm: float, pixel_mm: float) -> None:
    volume = ball(radius_mm, gap_mm=gap_mm, pixel_mm=pixel_mm)
    middle = np.array(volume.values.shape) / 2

    found = measure(volume, np.ones(volume.values.shape, bool), middle, 1.8 * radius_mm)

    assert found is not None
    assert found.axes.mean_mm == pytest.approx(2 * radius_mm, abs=0.8)
    assert found.volume_mm3 == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.2)
    assert found.mask.sum() * np.prod(volume.spacing_mm) == pytest.approx(found.volume_mm3, rel=0.15)
    assert found.density == "solid"


@pytest.mark.parametrize("radius_mm", [3.0, 5.0])
def test_half_a_ball_at_the_wall_is_not_cut_off(radius_mm: float) -> None:
    volume = ball(radius_mm)
    closed = np.ones(volume.values.shape, bool)
    closed[:, : closed.shape[1] // 2] = False
    middle = np.array(volume.values.shape) / 2 + (0, 0.4 * radius_mm / volume.spacing_mm[1], 0)

    found = measure(volume, closed, middle, 2 * radius_mm)

    assert found is not None
    assert found.axes.long_mm == pytest.approx(2 * radius_mm, abs=0.8)
    assert found.volume_mm3 == pytest.approx(2 / 3 * np.pi * radius_mm**3, rel=0.25)


def test_ground_glass_is_told_from_solid() -> None:
    volume = ball(5.0, hu=-580.0)

    found = measure(volume, np.ones(volume.values.shape, bool), np.array(volume.values.shape) / 2, 10.0)

    assert found is not None
    assert found.density == "ground_glass"


def test_nothing_is_measured_outside_the_lungs() -> None:
    volume = ball(5.0)

    assert measure(volume, np.zeros(volume.values.shape, bool), np.array(volume.values.shape) / 2, 10.0) is None


def test_axes_are_the_longest_and_the_longest_across_it() -> None:
    y, x = np.mgrid[-40:41, -40:41] * FINE_MM
    turned = np.stack([y + x, y - x]) / np.sqrt(2)
    ellipse = (turned[0] / 8) ** 2 + (turned[1] / 4) ** 2 <= 1

    axes = axial_axes(np.stack([ellipse, ellipse & (x > 0)]), (FINE_MM, FINE_MM))

    assert (axes.long_mm, axes.short_mm) == pytest.approx((16, 8), abs=0.4)
    assert axes.mean_mm == pytest.approx(12, abs=0.4)


def test_the_lungs_hold_every_nodule_and_neither_heart_nor_windpipe(chest: Phantom, lungs: Lungs) -> None:
    inverse = np.linalg.inv(chest.volume.affine)
    at = [tuple(np.rint(inverse @ (*nodule.center_mm, 1))[:3].astype(int)) for nodule in chest.nodules]
    index = np.indices(chest.volume.values.shape).reshape(3, -1).T[::97]
    x, y, z = (index @ chest.volume.affine[:3, :3].T + chest.volume.affine[:3, 3]).T
    depth = lung_depth(z, y, x)
    inside = lungs.closed[tuple(index.T)]

    assert {nodule.place for nodule in chest.nodules} >= {"pleura", "open"}
    assert all(lungs.closed[place] for place in at)
    assert inside[depth > 2].mean() > 0.99
    assert inside[(depth > 0) & (depth < 1)].mean() > 0.9
    assert inside[(depth < 0) & (depth > -1)].mean() < 0.1
    assert not inside[np.hypot(y - 9, x) < 6].any()  # windpipe
    assert inside[depth < -12].mean() < 0.02


def test_sides_and_zones_are_the_patients(lungs: Lungs) -> None:
    assert (lungs.side(40.0), lungs.side(-40.0)) == ("left", "right")
    assert [lungs.zone(z) for z in (-25.0, 5.0, 35.0)] == ["lower_lung_zone", "middle_lung_zone", "upper_lung_zone"]


def test_without_lungs_there_are_none() -> None:
    assert find_lungs(ball(5.0)) is None


def test_the_same_seed_makes_the_same_chest(chest: Phantom) -> None:
    again = make_phantom(SEED, num_nodules=5)

    assert np.array_equal(again.volume.values, chest.volume.values)
    assert again.nodules == chest.nodules
    assert len({nodule.center_mm for nodule in chest.nodules}) == 5


@pytest.mark.parametrize("seed", range(20))
def test_an_outline_filled_again_is_the_mask(seed: int) -> None:
    from scipy.ndimage import binary_fill_holes, gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(14, 17)), 1)
    plane = np.zeros_like(noise, bool)
    plane[1:-1, 1:-1] = noise[1:-1, 1:-1] > 0
    again = np.zeros_like(plane)

    for outline in outlines(plane):
        assert outline[0] == outline[-1]
        assert len(outline) >= 5
        again |= fill(outline, *plane.shape)

    assert not (plane & ~again).any()
    assert not (again & ~binary_fill_holes(plane)).any()
    assert outlines(np.zeros((3, 3), bool)) == []
