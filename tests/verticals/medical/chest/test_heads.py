"""Heads: a ridge like scikit-learn's, scores that tell films apart, and lesions found where they are."""

from __future__ import annotations

import numpy as np
import pytest

from verticals.medical.chest.heads import FilmHeads, fit_ridge


def films(seed: int, num: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patches of noise, 4 x 4; where there is a lesion, its first number is high; half of the films have one."""
    rng = np.random.default_rng(seed)
    patches, lesions = rng.normal(size=(num, 16, 3)), np.zeros((num, 16))
    where = rng.integers(0, 16, num)
    for i in range(0, num, 2):
        lesions[i, where[i]] = 1
    patches[..., 0] += 4 * lesions
    return patches, np.stack((lesions.max(1), 1 - lesions.max(1)), 1), lesions


@pytest.fixture(scope="module")
def heads() -> FilmHeads:
    patches, labels, lesions = films(0)
    lesions[::10] = np.nan  # nobody drew any there
    return FilmHeads.fit(patches, labels, lesions, penalty=0.1)


def test_the_ridge_is_the_one_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(30, 80)) * 3 + 1, rng.normal(size=(30, 2))
    weight, bias, mean = fit_ridge(features, targets, penalty=0.7)

    scale = features.std(0) * np.sqrt(80)
    oracle = Ridge(alpha=0.7).fit((features - mean) / scale, targets)

    np.testing.assert_allclose((features - mean) @ weight.T + bias, oracle.predict((features - mean) / scale))


def test_scores_tell_films_apart(heads: FilmHeads) -> None:
    patches, labels, _ = films(1)

    scores = heads.scores(patches)

    assert scores[labels[:, 0] == 1, 0].mean() > scores[labels[:, 0] == 0, 0].mean() + 0.1


def test_lesions_are_found_where_they_are(heads: FilmHeads) -> None:
    patches, _, lesions = films(2)

    logits = heads.lesion_logits(patches)

    assert (logits[::2].argmax(1) == lesions[::2].argmax(1)).mean() > 0.9
    assert logits[lesions == 0].mean() < -1
