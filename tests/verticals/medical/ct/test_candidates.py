"""Blobs lie where balls were drawn, between voxels too; marks of one thing are one mark."""

from __future__ import annotations

import numpy as np
import pytest

from tests.verticals.medical.ct.small_chest import small_chest
from tests.verticals.medical.ct.test_measure import ball
from verticals.medical.ct.candidates import LOOK_NAMES, find_blobs, mark_reach_mm, strongest
from verticals.medical.ct.features import NAMES, features
from verticals.medical.ct.first_look import find_candidates
from verticals.medical.ct.froc import is_hit
from verticals.medical.ct.lungs import Lungs, find_lungs
from verticals.medical.ct.phantom import Phantom


@pytest.mark.parametrize("radius_mm", [1.6, 3.0, 6.0])
def test_the_strongest_blob_of_a_ball_is_its_middle_and_its_size(radius_mm: float) -> None:
    volume = ball(radius_mm, gap_mm=2.0, pixel_mm=0.8)

    first = find_blobs(volume, np.ones(volume.values.shape, bool))[0]

    place_mm = np.array(first.index) * volume.spacing_mm
    assert np.linalg.norm(place_mm - 25.0) < 0.6
    assert first.diameter_mm == pytest.approx(2 * radius_mm, rel=0.5)
    assert first.roundness > 0.4
    assert len(first.look) == len(LOOK_NAMES)


def test_every_nodule_of_a_chest_has_a_candidate(chest: Phantom, lungs: Lungs) -> None:
    found = find_candidates(chest.volume, lungs.closed)
    index = np.array([each.index for each in found])
    places = index @ chest.volume.affine[:3, :3].T + chest.volume.affine[:3, 3]

    hits = is_hit(
        places,
        np.array([nodule.center_mm for nodule in chest.nodules]),
        np.array([nodule.axes.mean_mm for nodule in chest.nodules]),
    )

    assert hits.any(axis=0).all()


def test_the_strongest_speaks_for_what_lies_within_its_reach() -> None:
    places = np.array([[0.0, 0, 0], [3, 0, 0], [6, 0, 0], [50, 0, 0]])

    kept = strongest(places, np.array([0.5, 0.9, 0.4, 0.1]), np.full(4, 3.5))

    assert kept.tolist() == [1, 3]
    assert strongest(np.zeros((0, 3)), np.zeros(0), np.zeros(0)).size == 0


def test_the_reach_of_a_mark_has_limits() -> None:
    assert mark_reach_mm(np.array([2.0, 10.0, 40.0])).tolist() == [6.0, 12.0, 15.0]


def test_features_have_a_name_each_and_tell_a_ball_from_a_tube() -> None:
    volume, nodules = small_chest(3)
    lungs = find_lungs(volume)
    assert lungs is not None
    found = find_candidates(volume, lungs.closed)
    rows = features(volume, lungs.closed, found)
    places = np.array([each.index for each in found]) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    is_ball = is_hit(places, nodules[:, :3], nodules[:, 3]).any(axis=1)
    on_tube = np.hypot(places[:, 1] - 10, places[:, 2] - 5) < 1
    through = rows[:, NAMES.index("through_9mm")]

    assert rows.shape == (len(found), len(set(NAMES)))
    assert np.isfinite(rows).all()
    assert through[is_ball].max() < 0.3 < np.median(through[on_tube & ~is_ball])
