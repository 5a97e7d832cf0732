"""Quality: every kind of fault is caught by its own check, worse faults score lower, good images pass."""

from __future__ import annotations

import numpy as np
import pytest

from verticals.medical.probes import degradations, phantom
from verticals.medical.quality import LIMITS, assess, blur, judge, measure, noise_sigma

CHECK = {
    "blur": "sharpness",
    "noise": "noise",
    "under-exposed": "contrast",
    "saturated": "clipping",
    "collimated": "blank",
}


@pytest.mark.parametrize("seed", [200, 201])
def test_a_good_phantom_is_accepted(seed: int) -> None:
    quality = assess(phantom(seed, size=640), "CR")

    assert quality.verdict == "accept"
    assert quality.reasons == []


def test_each_fault_is_caught_by_its_check_and_worse_is_worse() -> None:
    scores: dict[str, list[float]] = {}
    for kind, _severity, frame in degradations(phantom(202, size=640), 0):
        quality = assess(frame, "CR")
        failed = [check.name for check in quality.checks if check.verdict != "accept"]
        assert CHECK[kind] in failed, kind
        assert any(CHECK[kind].capitalize() in reason for reason in quality.reasons)
        scores.setdefault(kind, []).append(quality.score)

    assert all(values == sorted(values, reverse=True) for values in scores.values())


def test_an_empty_image_is_rejected() -> None:
    quality = assess(np.full((640, 640), 7, dtype=np.uint16), "DX")

    assert quality.verdict == "reject"
    assert quality.score == 0


@pytest.mark.parametrize(("modality", "verdict"), [("CR", "reject"), ("CT", "warn"), ("MR", "warn")])
def test_the_limits_of_size_depend_on_the_modality(modality: str, verdict: str) -> None:
    quality = assess(phantom(0, size=120), modality)

    size = next(check for check in quality.checks if check.name == "size")
    assert (size.value, size.verdict) == (120, verdict)


@pytest.mark.parametrize(("value", "verdict"), [(512, "accept"), (511, "warn"), (128, "warn"), (127, "reject")])
def test_a_measure_at_its_limit_is_still_within_it(value: float, verdict: str) -> None:
    assert judge("size", value, LIMITS["CR"]["size"]).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.05, "accept"), (0.051, "warn"), (0.3, "warn"), (0.31, "reject")])
def test_so_is_one_whose_lower_values_are_better(value: float, verdict: str) -> None:
    assert judge("clipping", value, LIMITS["CR"]["clipping"]).verdict == verdict


def test_a_warning_of_an_earlier_step_is_kept() -> None:
    quality = assess(phantom(0, size=640), "CR", warnings=["The file says nothing."])

    assert (quality.verdict, quality.reasons) == ("warn", ["The file says nothing."])


def test_monochrome1_saturation_is_at_the_lowest_value() -> None:
    frame = phantom(0, size=640)
    frame[:200] = 0

    bright = {c.name: c for c in assess(frame, "CR", inverted=True).checks}["clipping"]
    dark = {c.name: c for c in assess(frame, "CR").checks}["clipping"]

    assert bright.verdict == "reject"
    assert dark.verdict == "accept"


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_the_noise_estimate_finds_the_noise_that_was_added(sigma: float) -> None:
    ramp = np.linspace(0, 1, 300)[None] * np.ones((300, 1))
    noisy = ramp + np.random.default_rng(0).normal(scale=sigma, size=ramp.shape)

    assert noise_sigma(noisy) == pytest.approx(sigma, rel=0.05)


def test_blur_grows_with_blurring_and_is_complete_for_a_flat_image() -> None:
    image = phantom(0, size=256) / 4095

    smooth = np.cumsum(np.cumsum(image, 0), 1)
    smooth = (smooth[12:, 12:] - smooth[:-12, 12:] - smooth[12:, :-12] + smooth[:-12, :-12]) / 144

    assert blur(image) < blur(smooth) < blur(np.ones((64, 64))) == 1


def test_a_tiny_image_can_be_measured() -> None:
    assert measure(np.array([[1.0]]))["size"] == 1
