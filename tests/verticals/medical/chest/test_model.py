"""The shipped chest-film model: small, with its card; kept as read; stops strangers; its maps need its weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core_model.weights import Weights
from verticals.medical.chest.attention import overlay
from verticals.medical.chest.model import CARD, WEIGHTS, ChestModel, look, packaged
from verticals.medical.probes import phantom
from verticals.medical.vision.pictures import Grey, to_picture
from verticals.medical.vision.tower import Tower, TowerSize
from verticals.medical.vision.train import first_parameters


@pytest.fixture(scope="module")
def model() -> ChestModel:
    return ChestModel.load(packaged())


def film(rows: int = 300, columns: int = 260) -> Grey:
    """Synthetic: a phantom's grey values."""
    grey = phantom(0, size=rows)[:, :columns].astype(float)
    return (255 * (grey - grey.min()) / np.ptp(grey)).astype(np.uint8)


def test_the_weights_are_small_and_the_card_says_what_they_are() -> None:
    card = json.loads(packaged()[CARD].read_text("utf-8"))

    assert packaged()[WEIGHTS].stat().st_size < 15 * 2**20
    assert {"trained_on", "licence", "recipe", "limits", "figures"} <= card.keys()
    assert card["figures"].keys() == set(card["kinds"])


def test_a_reading_is_complete_and_repeatable(model: ChestModel) -> None:
    one, two = model.read(film()), model.read(film())

    assert one.kinds.keys() == set(model.kinds)
    assert all(0 <= kind.prob <= 1 for kind in one.kinds.values())
    assert one.attention.max() == 1
    assert [k.prob for k in one.kinds.values()] == [k.prob for k in two.kinds.values()]


@pytest.mark.parametrize("name", ["noise", "inverted", "flat"])
def test_what_is_no_film_is_a_stranger(model: ChestModel, name: str) -> None:
    images = {
        "noise": np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8),
        "inverted": 255 - film(),
        "flat": np.full((200, 200), 90, np.uint8),
    }

    assert model.read(images[name]).strangeness > 1


def test_files_written_and_read_give_the_same_reading(tmp_path: Path) -> None:
    size = TowerSize()
    parameters = first_parameters(size, 0)
    made = replace(ChestModel.load(packaged()), tower=Tower(size, Weights(parameters, precision="int8")))

    for name, content in made.to_files(parameters).items():
        (tmp_path / name).write_bytes(content)
    again = ChestModel.load({name: tmp_path / name for name in (WEIGHTS, CARD)})

    for kind, reading in made.read(film()).kinds.items():
        assert again.read(film()).kinds[kind].prob == pytest.approx(reading.prob, abs=1e-6)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    files = packaged() | {WEIGHTS: tmp_path / WEIGHTS}
    files[WEIGHTS].write_bytes(packaged()[WEIGHTS].read_bytes()[:1000])

    with pytest.raises(ValueError, match=r"film\.safetensors"):
        ChestModel.load(files)


def test_maps_collapse_with_random_weights(model: ChestModel) -> None:
    """Adebayo 2018 (arXiv:1810.03292): a map that survives random weights shows the picture, not the model."""
    size = model.tower.size
    random = Tower(size, Weights(first_parameters(size, 1), precision="fp32"))
    pictures = np.stack([to_picture(film(300 + 20 * i), size.side) for i in range(4)])

    trained, untrained = (look(tower, pictures) for tower in (model.tower, random))
    maps = [model.heads.lesion_logits(patches) - model.heads.lesion_bias_N for patches in (trained, untrained)]

    assert np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(*maps, strict=True)]) < 0.5


def test_the_heatmap_is_warm_where_the_tower_looked_and_labelled() -> None:
    attention = np.zeros((8, 8))
    attention[4, 2] = 1

    shown = overlay(np.full((160, 80), 100, np.uint8), attention).astype(int)

    assert shown.shape == (160, 80, 3)
    warmth = shown[:, :, 0] - shown[:, :, 2]
    assert warmth[90, 10] > 50
    assert warmth[150, 70] < 5
    assert warmth[:12, :40].max() > 50  # the word
