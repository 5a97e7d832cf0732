"""Uncertainty: probabilities are calibrated, sets hold the truth of each class, and the gate knows strangers."""

from __future__ import annotations

import numpy as np
import pytest

from verticals.medical.uncertainty import Calibration, Gate, calibration_error, conformal_limit, fit_logistic


def drawn(seed: int, num: int = 4000, *, prevalence: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Logits three times too sure, and what is true."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(np.log(prevalence / (1 - prevalence)), 1.5, num)
    return 3 * truth + 1, (rng.random(num) < 1 / (1 + np.exp(-truth))).astype(float)


def test_temperature_and_offset_are_found_again() -> None:
    slope, offset = fit_logistic(*drawn(0, 20_000))

    assert slope == pytest.approx(1 / 3, abs=0.02)
    assert offset == pytest.approx(-1 / 3, abs=0.05)


def test_calibration_lowers_the_error_on_new_readings() -> None:
    fitted = Calibration.fit(*drawn(0))
    logits, labels = drawn(1)

    assert calibration_error(fitted.prob(logits), labels) < 0.03
    assert calibration_error(1 / (1 + np.exp(-logits)), labels) > 0.06


@pytest.mark.parametrize("label", [0, 1])
def test_sets_hold_the_truth_of_each_class_however_rare(label: int) -> None:
    fitted = Calibration.fit(*drawn(0))
    logits, labels = drawn(1)
    answer = ("absent", "present")[label]

    held = [answer in fitted.confidence_set(prob) for prob in fitted.prob(logits[labels == label])]

    assert np.mean(held) == pytest.approx(0.9, abs=0.03)


def test_too_few_cases_rule_nothing_out() -> None:
    assert conformal_limit(np.linspace(0, 0.5, 8), 0.9) == 1.0
    assert conformal_limit(np.linspace(0, 0.5, 9), 0.9) == 0.5


def test_one_class_alone_cannot_be_calibrated() -> None:
    with pytest.raises(ValueError, match="both classes"):
        Calibration.fit(np.zeros(5), np.ones(5))


def test_the_gate_lets_its_own_kind_in_and_stops_others() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6))
    gate = Gate.fit(rng.normal(size=(500, 6)) @ mixing, accepted=0.95)

    own, other = rng.normal(size=(2000, 6)) @ mixing, rng.normal(size=(200, 6)) * 10

    assert np.mean(gate.distance(own) <= gate.limit) == pytest.approx(0.95, abs=0.02)
    assert np.mean(gate.distance(other) > gate.limit) > 0.95
