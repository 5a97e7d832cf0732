"""Rotary positions: pairs turn by position, scaling slows the slow ones, and values follow the papers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from core_model.config import RopeScaling, parse_config
from core_model.rope import Rope, attention_factor, latent_score_factor, rotate_, split_pairs
from tests.core_model.tiny import LLAMA

DEFAULT = RopeScaling()
YARN = RopeScaling("yarn", factor=4.0, original_max_position_embeddings=64)


def _rope(scaling: RopeScaling = DEFAULT) -> Rope:
    config = replace(parse_config(LLAMA), head_dim=64, rope_scaling=scaling)
    return Rope(config, torch.device("cpu"))


def test_the_product_of_two_rotated_vectors_depends_on_their_distance_alone() -> None:
    rope, (q, k) = _rope(), torch.randn(2, 1, 1, 64, generator=torch.Generator().manual_seed(0))

    def product(q_position: int, k_position: int) -> float:
        turned = [x.clone() for x in (q, k)]
        for x, position in zip(turned, (q_position, k_position), strict=True):
            rotate_(x, *rope(torch.tensor([position]), torch.float32))
        return float((turned[0] * turned[1]).sum())

    assert product(9, 4) == pytest.approx(product(105, 100), abs=1e-3)
    assert product(9, 4) != pytest.approx(product(9, 5), abs=1e-2)


@pytest.mark.parametrize("scaling", [replace(YARN, rope_type="llama3"), YARN])
def test_scaling_keeps_fast_pairs_and_slows_slow_ones_by_the_factor(scaling: RopeScaling) -> None:
    ratio = _rope().inv_freq / _rope(scaling).inv_freq

    assert ratio[0] == pytest.approx(1.0)
    assert ratio[-1] == pytest.approx(4.0)
    assert ((ratio > 1.01) & (ratio < 3.99)).any()  # a ramp lies between
    assert (ratio.diff() >= -1e-5).all()


def test_linear_scaling_slows_all_pairs() -> None:
    assert torch.allclose(_rope(RopeScaling("linear", factor=4.0)).inv_freq * 4, _rope().inv_freq)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (DEFAULT, 1.0),
        (YARN, 0.1 * math.log(4) + 1),
        (replace(YARN, attention_factor=1.5), 1.5),
        (replace(YARN, mscale=0.7, mscale_all_dim=0.7), 1.0),
    ],
)
def test_yarn_sharpens_attention_as_its_keys_say(scaling: RopeScaling, expected: float) -> None:
    cos, _ = _rope(scaling)(torch.tensor([0]), torch.float32)

    assert attention_factor(scaling) == pytest.approx(expected)
    assert cos[0, 0, 0] == pytest.approx(expected)


def test_latent_attention_has_a_factor_of_its_own() -> None:
    assert latent_score_factor(YARN) == 1.0
    assert latent_score_factor(replace(YARN, mscale_all_dim=1.0)) == pytest.approx((0.1 * math.log(4) + 1) ** 2)


def test_neighbouring_pairs_are_put_halves_apart() -> None:
    assert split_pairs(torch.arange(6)).tolist() == [0, 2, 4, 1, 3, 5]
