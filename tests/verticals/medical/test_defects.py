"""Learned defects: the shipped scores rise with what spoils an image, and measures do what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from verticals.medical.chest.quality import WEIGHTS
from verticals.medical.defects import DEFECTS, DefectModel, laplacian_variance, measures
from verticals.medical.probes import phantom
from verticals.medical.quality import box_mean


def film() -> np.ndarray:
    image = phantom(0, size=512).astype(float)
    return (255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)


def test_blur_and_noise_raise_their_own_score() -> None:
    model, rng = DefectModel.load(WEIGHTS), np.random.default_rng(0)
    clean = film()
    soft = box_mean(box_mean(clean.astype(float), 15, 0), 15, 1).astype(np.uint8)
    noisy = np.clip(clean + rng.normal(0, 50, clean.shape), 0, 255).astype(np.uint8)

    assert model.scores(soft)["blur"] > model.scores(clean)["blur"]
    assert model.scores(noisy)["noise"] > max(model.scores(clean)["noise"], 0.5)


def test_the_shipped_model_scores_every_defect_and_says_how_well() -> None:
    model = DefectModel.load(WEIGHTS)

    assert set(model.scores(film())) == set(DEFECTS)
    assert set(model.card["auc_marked_or_severe"]) == {*DEFECTS, "all"}


def test_a_model_reads_back_from_its_json(tmp_path: Path) -> None:
    model = DefectModel.load(WEIGHTS)
    (tmp_path / "again.json").write_text(model.to_json(), "utf-8")

    assert DefectModel.load(tmp_path / "again.json").scores(film()) == model.scores(film())


def test_measures_are_finite_even_of_an_empty_image() -> None:
    assert np.isfinite(measures(np.zeros((300, 200), np.uint8))).all()
    assert laplacian_variance(np.ones((5, 5))) == 0
