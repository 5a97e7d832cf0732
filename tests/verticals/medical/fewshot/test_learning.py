"""Learning from few images: every method finds a bright spot, leaves the tower as it is, and learns alike each time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.verticals.medical.fewshot.spots import spot
from verticals.medical.fewshot.encoder import METHODS, PROBE, Adapters, Encoder, NoChange, Stems, first_adapters
from verticals.medical.fewshot.learning import Learned, learn, left_out_error
from verticals.medical.ranking import auc
from verticals.medical.vision.pictures import to_picture

NUM = 24
LABELS = (np.arange(NUM) % 2).astype(np.float64)
PATIENTS = np.arange(NUM) // 2 * 7  # two images each, one of either label


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load()


def stems(encoder: Encoder, *, seed: int) -> Stems:
    """Every second image has a spot."""
    pictures = [to_picture(spot(seed + i, present=i % 2 == 1), 64) for i in range(NUM)]
    return encoder.stems(np.stack(pictures))


@pytest.fixture(scope="module")
def learned(encoder: Encoder) -> dict[str, Learned]:
    known = stems(encoder, seed=0)
    return {method: learn(encoder, known, LABELS, PATIENTS, method=method) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_a_spot_is_found_in_new_images(encoder: Encoder, learned: dict[str, Learned], method: str) -> None:
    assert auc(LABELS, learned[method].scores(encoder, stems(encoder, seed=100))) > 0.9


@pytest.mark.parametrize("method", [method for method in METHODS if method != PROBE])
def test_a_change_moves_and_what_it_gives_differs_from_the_probe(
    encoder: Encoder, learned: dict[str, Learned], method: str
) -> None:
    first = METHODS[method].first(encoder.tower.size, torch.Generator().manual_seed(20261130))
    now = learned[method].change.parameters
    new = stems(encoder, seed=100)

    assert all(not torch.equal(first[name], tensor) for name, tensor in now.items())
    assert not np.allclose(learned[method].scores(encoder, new), learned[PROBE].scores(encoder, new))


def test_the_tower_stays_as_it_is(encoder: Encoder, learned: dict[str, Learned]) -> None:
    untouched, new = Encoder.load(), stems(encoder, seed=100)
    with torch.inference_mode():
        one, other = (each.patches(new, NoChange({})) for each in (encoder, untouched))

    assert learned
    assert torch.equal(one, other)


def test_learning_again_gives_the_same_numbers(encoder: Encoder, learned: dict[str, Learned]) -> None:
    again = learn(encoder, stems(encoder, seed=0), LABELS, PATIENTS, method="prompt tuning")

    assert torch.equal(again.weight_F, learned["prompt tuning"].weight_F)
    assert again.bias == learned["prompt tuning"].bias


def test_adapters_begin_as_no_change(encoder: Encoder) -> None:
    begun = Adapters(first_adapters(encoder.tower.size, torch.Generator().manual_seed(0)))
    known = stems(encoder, seed=0)

    with torch.inference_mode():
        assert torch.equal(encoder.patches(known, begun), encoder.patches(known, NoChange({})))


def test_the_left_out_error_is_that_of_a_ridge_without_the_patient() -> None:
    draw = torch.Generator().manual_seed(0)
    x_BF = torch.nn.functional.normalize(torch.randn(12, 30, generator=draw), dim=0)
    x_BF = x_BF - x_BF.mean(0)
    y_B, groups = torch.arange(12.0).remainder(2), list(torch.arange(12).split(3))
    scale = x_BF.std(0, correction=0) * 30**0.5  # as it is standardised within
    x_BF, y_mean = x_BF / scale, y_B.mean()
    expected = []
    for rows in groups:
        kept = torch.tensor([i for i in range(12) if i not in rows])
        gram = x_BF[kept] @ x_BF[kept].T + 0.5 * torch.eye(len(kept))
        predicted = x_BF[rows] @ x_BF[kept].T @ torch.linalg.solve(gram, y_B[kept] - y_mean)
        expected.append(y_B[rows] - y_mean - predicted)

    found = left_out_error([x_BF], y_B, groups, penalty=0.5)

    assert float(found) == pytest.approx(float(torch.cat(expected).square().mean()), rel=1e-4)
