"""GPTQ keeps a layer's outputs better than rounding to nearest, wherever inputs are correlated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core_model.compress.gptq import gptq
from core_model.compress.rounding import OFFSETS, Offset, Scheme, round_to_nearest


def correlated(num_inputs: int, *, num_tokens: int = 400) -> Tensor:
    """Inputs on which a few hidden causes act."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(num_inputs // 4, num_inputs, generator=generator)
    causes = torch.randn(num_tokens, num_inputs // 4, generator=generator)
    return causes @ mix + 0.3 * torch.randn(num_tokens, num_inputs, generator=generator)


def output_error(weight: Tensor, found: Tensor, x: Tensor) -> float:
    """Relative error of the layer's outputs."""
    return float(((found - weight) @ x.T).norm() / (weight @ x.T).norm())


@pytest.mark.parametrize("group_size", [16, 64, 256, None])
@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("act_order", [False, True])
def test_outputs_are_kept_better_than_by_rounding_to_nearest(
    group_size: int | None, offset: Offset, act_order: bool
) -> None:
    scheme, x = Scheme(4, group_size, offset), correlated(256)
    weight = torch.randn(24, 256, generator=torch.Generator().manual_seed(1))

    found = gptq(weight, x.T @ x / len(x), scheme=scheme, act_order=act_order)

    nearest = round_to_nearest(weight, scheme)
    assert found.scale_OG.shape == nearest.scale_OG.shape
    assert output_error(weight, found.dequantize(), x) < 0.7 * output_error(weight, nearest.dequantize(), x)


def test_without_correlation_it_rounds_to_nearest() -> None:
    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(1))

    found = gptq(weight, torch.eye(32), scheme=Scheme(4, 16))

    expected = round_to_nearest(weight, Scheme(4, 16), importance_I=torch.ones(32))
    assert torch.equal(found.codes_OI, expected.codes_OI)


def test_an_input_that_was_never_seen_keeps_its_weight() -> None:
    x = correlated(64)
    x[:, 5] = 0
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))

    found = gptq(weight, x.T @ x / len(x), scheme=Scheme(8, 64))

    assert (found.dequantize() - weight)[:, 5].abs().max() < 0.05


def test_the_arguments_stay_as_they_are() -> None:
    x, weight = correlated(32), torch.randn(8, 32)
    hessian = x.T @ x
    before = weight.clone(), hessian.clone()

    gptq(weight, hessian, scheme=Scheme(4, 16))

    assert torch.equal(weight, before[0])
    assert torch.equal(hessian, before[1])


def test_a_matrix_that_is_no_hessian_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hessian_II: must be a mean of x x\^T"):
        gptq(torch.ones(2, 8), -torch.ones(8, 8), scheme=Scheme(4, 8))


def test_damping_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"damping: must be above 0 \(got 0\)"):
        gptq(torch.ones(2, 8), torch.eye(8), scheme=Scheme(4, 8), damping=0)
