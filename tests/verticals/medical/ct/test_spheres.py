"""Spheres tell a ball, a vessel's end and a vessel apart by degree, and say the same when the scan is turned."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from verticals.medical.ct.candidates import Candidate
from verticals.medical.ct.spheres import NAMES, spheres

SIDE = 49
ALONG = np.arange(SIDE) - SIDE // 2
MIDDLE = Candidate((SIDE // 2,) * 3, 4.0, 1.0, 1.0, ())


def drawn(kind: str) -> NDArray[np.float32]:
    """In lung, on a grid of 1 mm."""
    z, y, x = ALONG[:, None, None], ALONG[None, :, None], ALONG[None, None, :]
    away = {
        "ball": np.sqrt(z**2 + y**2 + x**2) - 1,
        "vessel": np.sqrt(y**2 + z**2) + 0 * x,
        "end": np.sqrt(y**2 + z**2 + np.minimum(x, 0) ** 2),
    }[kind]
    return np.asarray(-860 + 900 * np.clip(2.5 - away, 0, 1), np.float32)


def row(values: NDArray[np.float32]) -> dict[str, float]:
    (made,) = spheres(values, np.ones(values.shape, bool), (1.0, 1.0, 1.0), [MIDDLE])
    return dict(zip(NAMES, made.tolist(), strict=True))


def test_degrees_tell_a_ball_an_end_and_a_vessel() -> None:
    ball, end, vessel = (row(drawn(kind)) for kind in ("ball", "end", "vessel"))
    first, second = "sphere_degree1_5mm", "sphere_degree2_5mm"

    assert max(ball[first], ball[second]) < 1e-3
    assert end[first] > 10 * vessel[first]
    assert vessel[second] > 2 * vessel[first] + 1e-2
    assert ball["within_5mm"] > 3 * vessel["within_5mm"]
    assert ball["half_most"] < 9 < vessel["half_most"]


def test_a_turned_scan_says_nearly_the_same() -> None:
    values = drawn("end")

    said, turned = (
        np.array(list(row(each).values())) for each in (values, np.ascontiguousarray(values.transpose(2, 0, 1)))
    )

    assert turned == pytest.approx(said, rel=0.1, abs=0.1)


def test_no_candidates_are_no_rows() -> None:
    assert spheres(drawn("ball"), np.ones((SIDE,) * 3, bool), (1.0, 1.0, 1.0), []).shape == (0, len(NAMES))
