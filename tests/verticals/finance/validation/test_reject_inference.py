"""Reject inference: what each method hands to the model, and that no hidden outcome is among it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from verticals.finance.validation.reject_inference import METHODS, Predict, Through
from verticals.finance.validation.sample import Array


class Fits:
    """A logistic regression that remembers what it was fitted on."""

    def __init__(self) -> None:
        self.calls: list[tuple[Array, Array, Array]] = []

    def __call__(self, rows: Array, default: Array, weight: Array) -> Predict:
        self.calls.append((rows, default, weight))
        model = LogisticRegression(C=1e8, tol=1e-10, max_iter=1000).fit(rows, default, sample_weight=weight)
        return lambda X: np.asarray(model.predict_proba(X)[:, 1])


def through(n: int = 3000, *, seed: int = 0, prudence: float = 1.0) -> Through:
    """Risk falls with one field; the third with the lowest are refused."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=(n, 1))
    default = (rng.random(n) < 1 / (1 + np.exp(0.5 + 1.2 * field[:, 0]))).astype(float)
    accepted = field[:, 0] > np.quantile(field, 1 / 3)
    return Through(field[accepted], default[accepted], field[~accepted], prudence=prudence)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_probabilities_that_rise_with_the_risk(name: str) -> None:
    data = through()
    prob = METHODS[name](data, Fits())(np.array([[-2.0], [0.0], [2.0]]))

    assert (np.diff(prob) < 0).all()
    assert ((prob > 0) & (prob < 1)).all()


def test_fuzzy_augmentation_without_prudence_changes_nothing() -> None:
    data, grid = through(), np.linspace(-3, 3, 9)[:, None]
    plain, fuzzy = (METHODS[name](data, Fits())(grid) for name in ("accepted only", "fuzzy augmentation"))

    assert fuzzy == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("name", ["extrapolation", "parcelling", "fuzzy augmentation"])
def test_prudence_makes_the_refused_worse(name: str) -> None:
    refused = np.array([[-1.5]])
    calm, prudent = (METHODS[name](through(prudence=p), Fits())(refused)[0] for p in (1.0, 3.0))

    assert prudent > calm


def test_fuzzy_weights_of_each_refused_sum_to_one() -> None:
    data, fits = through(), Fits()
    METHODS["fuzzy augmentation"](data, fits)
    rows, default, weight = fits.calls[-1]
    num_a, num_r = len(data.default_A), len(data.rejected_RD)

    assert len(rows) == num_a + 2 * num_r
    assert weight[num_a : num_a + num_r] + weight[num_a + num_r :] == pytest.approx(np.ones(num_r))
    assert default[num_a : num_a + num_r].all()


def test_extrapolation_labels_the_riskiest_and_as_many_as_it_expects() -> None:
    data, fits = through(), Fits()
    METHODS["extrapolation"](data, fits)
    label = fits.calls[-1][1][len(data.default_A) :]
    field = data.rejected_RD[:, 0]

    assert field[label == 1].max() <= field[label == 0].min()
    assert label.sum() == round(METHODS["accepted only"](data, Fits())(data.rejected_RD).sum())


def test_reweighting_lets_the_accepted_stand_for_their_band() -> None:
    rng = np.random.default_rng(1)
    field = rng.normal(size=(4000, 1))
    default = (rng.random(4000) < 1 / (1 + np.exp(1 + field[:, 0]))).astype(float)
    accepted = rng.random(4000) < np.where(field[:, 0] > 0, 0.8, 0.2)
    fits = Fits()
    METHODS["reweighting"](Through(field[accepted], default[accepted], field[~accepted]), fits)
    weight = fits.calls[-1][2]

    assert weight.sum() == pytest.approx(4000)
    assert weight[field[accepted, 0] > 0.3].mean() == pytest.approx(1 / 0.8, rel=0.05)
    assert weight[field[accepted, 0] < -0.3].mean() == pytest.approx(1 / 0.2, rel=0.1)


def test_parcelling_draws_the_same_outcomes_for_the_same_seed() -> None:
    labels = []
    for seed in (1, 1, 2):
        fits, data = Fits(), through()
        METHODS["parcelling"](Through(data.accepted_AD, data.default_A, data.rejected_RD, seed=seed), fits)
        labels.append(fits.calls[-1][1])

    assert (labels[0] == labels[1]).all()
    assert (labels[0] != labels[2]).any()
