"""Sampling follows its distribution, its seed and its limits."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from core_model.generation import SamplingParams
from core_model.sampling import Sampler

LOGITS = torch.tensor([0.0, 3.0, 2.0, 1.0, -1.0])


def draw(params: SamplingParams, logits: Tensor = LOGITS, n: int = 4000) -> Counter[int]:
    sampler = Sampler(params)
    return Counter(sampler.sample(logits) for _ in range(n))


def test_temperature_zero_takes_the_best() -> None:
    assert draw(SamplingParams(), n=3) == {1: 3}


def test_draws_follow_the_softmax() -> None:
    counts = draw(SamplingParams(temperature=0.8, seed=1))
    expected = (LOGITS / 0.8).softmax(-1)

    for token, prob in enumerate(expected.tolist()):
        assert counts[token] / 4000 == pytest.approx(prob, abs=4 * (prob * (1 - prob) / 4000) ** 0.5 + 1e-3)


def test_top_k_keeps_the_k_best_in_proportion() -> None:
    counts = draw(SamplingParams(temperature=1.0, top_k=2, seed=2))

    assert set(counts) == {1, 2}
    assert counts[1] / 4000 == pytest.approx(0.731, abs=0.03)


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    # softmax: .64 .24 .09 .03 .01 for tokens 1 2 3 0 4
    assert set(draw(SamplingParams(temperature=1.0, top_p=0.6, seed=3))) == {1}
    assert set(draw(SamplingParams(temperature=1.0, top_p=0.7, seed=3))) == {1, 2}


def test_top_p_is_exact_where_the_distribution_is_flat() -> None:
    logits = torch.zeros(3000)
    logits[:1500] += 1e-3  # the better half holds just over 50 %

    counts = draw(SamplingParams(temperature=1.0, top_p=0.5, seed=4), logits, n=1500)

    assert max(counts) < 1500
    assert len(counts) > 700


def test_top_k_and_top_p_compose_as_top_k_first() -> None:
    # among the best two, token 1 has .73 of the mass: enough for p = .7
    assert set(draw(SamplingParams(temperature=1.0, top_k=2, top_p=0.7, seed=5))) == {1}


@pytest.mark.parametrize("limits", [{}, {"top_k": 3}, {"top_p": 0.9}])
def test_a_seed_repeats_its_draws_and_another_does_not(limits: dict[str, float]) -> None:
    def sequence(seed: int) -> list[int]:
        sampler = Sampler(SamplingParams(temperature=1.0, seed=seed, **limits))  # type: ignore[arg-type]
        return [sampler.sample(LOGITS) for _ in range(50)]

    assert sequence(7) == sequence(7)
    assert sequence(7) != sequence(8)
