"""Vessels on painted retinas: a small network learns them, is measured on others, and is served from the registry."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.retinas import phantom_and_vessels
from tests.verticals.medical.fundus.one_model import OneModel
from verticals.contract import InvalidInput, NotFound
from verticals.medical.fundus.picture import find_field, onto_photograph, to_retina
from verticals.medical.fundus.registered import segmenter
from verticals.medical.fundus.vessel_training import (
    Masked,
    Recipe,
    dice,
    fit,
    masked,
    read_masks,
    train_vessels,
)
from verticals.medical.fundus.vessels import NAME, WEIGHTS, LineFilter, VesselNet, long_parts

TINY = Recipe(folds=2, steps=30, side=64, batch_size=4, learning_rate=1e-2)


def _silent(_text: str, _share: float | None = None) -> None:
    pass


@cache
def _pair(seed: int) -> Masked:
    photograph, vessels = phantom_and_vessels(np.random.default_rng(seed))
    return masked(photograph, vessels, f"phantom {seed}")


@cache
def _fitted() -> VesselNet:
    return fit([_pair(0)], TINY, lambda _: None)


def test_a_trained_network_finds_the_vessels_of_another_retina_better_than_the_line_filter() -> None:
    other = _pair(2)

    found, filtered = _fitted().probability(other.retina), LineFilter().segment(other.retina)

    assert other.dice(found) > other.dice(filtered.astype(np.float64)) + 0.02
    assert not found[~other.retina.inside].any()


def test_a_trained_network_is_served_from_the_registry_as_it_was(tmp_path: Path) -> None:
    served = segmenter(OneModel(NAME, tmp_path, _fitted().to_files({})))  # type: ignore[arg-type]

    assert isinstance(served, VesselNet)
    assert served.name_and_version == f"{NAME} 1-abc"
    assert served.threshold == _fitted().threshold
    assert np.array_equal(served.probability(_pair(0).retina), _fitted().probability(_pair(0).retina))


def test_without_a_trained_network_the_line_filter_serves(tmp_path: Path) -> None:
    assert isinstance(segmenter(OneModel(NAME, tmp_path, {})), LineFilter)  # type: ignore[arg-type]


def test_a_damaged_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"x")

    with pytest.raises(ValueError, match=r"files: no readable medical\.fundus_vessels"):
        VesselNet.load({WEIGHTS: tmp_path / WEIGHTS}, NAME)


def test_the_card_has_the_dice_of_photographs_left_out() -> None:
    told: list[float] = []

    files, card = train_vessels([_pair(0), _pair(1)], lambda _, share: told.append(share), replace(TINY, steps=2))

    value, low, high = card["metrics"]["Dice"]
    assert 0 < low <= value <= high < 1
    assert WEIGHTS in files
    assert told == [0, 1 / 4, 1 / 2, 3 / 4, 0, 1 / 2]


def test_too_few_photographs_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 5 photographs"):
        train_vessels([_pair(0)] * 4, _silent)


def test_dice_is_counted_in_the_photographs_own_pixels() -> None:
    photograph, vessels = phantom_and_vessels(np.random.default_rng(4))
    large = np.asarray(Image.fromarray(photograph).resize((1000, 1000)))
    drawn = np.asarray(Image.fromarray(vessels).resize((1000, 1000)))
    pair = masked(large, drawn, "large")

    assert pair.vessels.shape == (1000, 1000)
    assert pair.dice(pair.learned_vessels.astype(np.float64)) > 0.9
    assert pair.dice(np.zeros(pair.retina.inside.shape)) == 0
    assert dice(drawn, drawn) == 1


def test_what_is_said_of_a_place_comes_back_to_it() -> None:
    photograph = np.zeros((400, 500, 3), np.uint8)
    y, x = np.mgrid[:400, :500]
    photograph[np.hypot(x - 260, y - 190) < 170] = 120
    photograph[(np.abs(x - 300) < 12) & (np.abs(y - 150) < 12)] = 250
    field = find_field(photograph)
    assert field is not None

    back = onto_photograph(to_retina(photograph, field).green, field, (400, 500))

    assert np.abs(back - photograph[..., 1] / 255)[np.hypot(x - 260, y - 190) < 165].mean() < 0.01


def test_a_folder_is_read_by_the_beginning_of_its_names_and_a_missing_mask_is_refused(tmp_path: Path) -> None:
    photograph, vessels = phantom_and_vessels(np.random.default_rng(5))
    for name in ("images", "1st_manual"):
        (tmp_path / name).mkdir()
    Image.fromarray(photograph).save(tmp_path / "images" / "21_training.png")
    Image.fromarray(vessels).save(tmp_path / "1st_manual" / "21_manual1.gif")
    (pair,) = read_masks(tmp_path, _silent)

    assert np.array_equal(pair.vessels, vessels)
    Image.fromarray(photograph).save(tmp_path / "images" / "22_training.png")
    with pytest.raises(NotFound, match="has no mask in 1st_manual"):
        read_masks(tmp_path, _silent)
    with pytest.raises(InvalidInput, match="mask of its own size"):
        masked(photograph, vessels[:-1], "x")
    with pytest.raises(NotFound, match="must hold images"):
        read_masks(tmp_path / "images", _silent)


def test_only_long_parts_are_vessels() -> None:
    mask = np.zeros((80, 80), bool)
    mask[10, 5:70] = True
    mask[40:44, 40:44] = True

    assert np.array_equal(long_parts(mask), mask & (np.arange(80)[:, None] == 10))
