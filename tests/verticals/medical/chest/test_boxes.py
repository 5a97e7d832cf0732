"""Boxes: one for each peak, around what belongs to it, and none where nothing reaches the floor."""

from __future__ import annotations

import numpy as np
import pytest

from verticals.medical.chest.boxes import BoxRule, find_boxes
from verticals.medical.vision.pictures import Frame, to_picture

RULE = BoxRule(floor=0.3, reach=0.5)


def lesions(*cells: tuple[int, int]) -> np.ndarray:
    logits = np.full((8, 8), -6.0)
    for row, column in cells:
        logits[row, column] = 4.0
    return logits


def test_a_peak_becomes_a_box_around_it() -> None:
    (box,) = find_boxes(lesions((5, 1)), RULE)

    assert box.center == pytest.approx((1.5 / 8, 5.5 / 8), abs=0.02)
    assert 0.05 < box.right - box.left < 0.25
    assert box.peak > 0.8


def test_two_peaks_become_two_boxes() -> None:
    boxes = find_boxes(lesions((5, 1), (2, 6)), RULE)

    assert sorted(round(box.center[0] * 8 - 0.5) for box in boxes) == [1, 6]


def test_neighbours_share_a_box() -> None:
    (box,) = find_boxes(lesions((5, 1), (5, 2), (6, 2)), RULE)

    assert box.right - box.left > 0.2


def test_below_the_floor_there_is_nothing() -> None:
    assert find_boxes(np.full((8, 8), -3.0), RULE) == []


def test_a_place_in_the_square_is_found_again_in_a_narrow_film() -> None:
    frame = Frame(rows=400, columns=200)

    assert frame.to_film(0.5, 0.5) == (100, 200)
    assert frame.to_film(0.25, 0.0) == (0, 0)
    assert frame.to_film(0.0, 1.0) == (0, 400)


def test_a_picture_is_square_and_standardised() -> None:
    film = np.zeros((60, 30), np.uint8)
    film[20:40, 10:20] = 200

    picture = to_picture(film, 12)

    assert picture.shape == (12, 12)
    assert picture.mean() == pytest.approx(0, abs=1e-5)
    assert picture.std() == pytest.approx(1, abs=1e-3)
    assert picture[6, 6] == picture.max()
