"""Grouped products with plain, 8- and 4-bit weights give what the torch layers give, expert by expert."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.few_bits import Int4GroupedLinear, Int4Linear
from core_model.quantize import DenseGroupedLinear, DenseLinear, Int8GroupedLinear, Int8Linear, quantize_int8
from core_model.quantized_weight import QuantizedWeight

pytest.importorskip("triton", reason="needs the extra `cuda`")

from core_model.kernels.gpu.matmul import expert_linear, expert_swiglu, linear
from core_model.kernels.gpu.router import sort_pairs
from core_model.kernels.gpu.stacked import Stacked, stack_experts, stack_linear

E, K, D, F_ = 5, 2, 32, 16


def _int4(weight_OI: Tensor, group_size: int) -> QuantizedWeight:
    return round_to_nearest(weight_OI, Scheme(bits=4, group_size=group_size, offset="free"))


def _stacked(kind: str, weights: Sequence[Tensor], *, group_size: int) -> tuple[Stacked | None, list[Tensor]]:
    """For the kernel, and the same weights plain."""
    if kind == "int4":
        coarse = [_int4(weight, group_size) for weight in weights]
        layer = Int4GroupedLinear(coarse)
        return stack_experts(layer), [part._dequantized(part.packed.shape[1] * 2) for part in layer.weights]
    if kind == "int8":
        q, scale = quantize_int8(weights)
        plain = (q.float() * scale[:, None]).chunk(len(weights))
        return stack_experts(Int8GroupedLinear(q, scale, num_experts=len(weights), rows_per_token=K)), [*plain]
    return stack_experts(DenseGroupedLinear(weights)), [*weights]


@pytest.mark.parametrize(
    ("kind", "dtype"), [("plain", torch.float32), ("int8", torch.float16), ("int4", torch.float32)]
)
def test_each_pair_goes_through_its_own_expert(device: torch.device, kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    first, first_plain = _stacked(kind, [torch.randn(2 * F_, D) * 0.2 for _ in range(E)], group_size=16)
    second, second_plain = _stacked(kind, [torch.randn(D, F_) * 0.2 for _ in range(E)], group_size=8)
    assert first is not None
    assert second is not None
    if kind == "plain":
        first, second = (Stacked(each.values.to(dtype)) for each in (first, second))
    experts_TK = torch.stack([torch.randperm(E)[:K] for _ in range(9)]).int()
    experts_TK[:, 0] = 3  # busy: two tiles
    x_TD, weights_TK = torch.randn(9, D, dtype=dtype), torch.rand(9, K)
    counts_E, num = torch.zeros(E, dtype=torch.int64), torch.tensor(9, dtype=torch.int32)

    tiles = sort_pairs(experts_TK, num_experts=E, rows=8, counts_E=counts_E, num_tokens=num)
    hidden_PF = expert_swiglu(x_TD, first, tiles, num_chosen=K)
    out_TD = expert_linear(hidden_PF, second, tiles, weights_TK).sum(1)

    expected_TD = torch.zeros(9, D)
    for token in range(9):
        for choice in range(K):
            expert = int(experts_TK[token, choice])
            gate, up = (first_plain[expert] @ x_TD[token].float()).chunk(2)
            expected_TD[token] += weights_TK[token, choice] * (second_plain[expert] @ (F.silu(gate) * up))
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(out_TD.float(), expected_TD, atol=tolerance, rtol=tolerance)


def test_pairs_of_experts_elsewhere_add_nothing(device: torch.device) -> None:
    weight, plain = _stacked("plain", [torch.randn(D, F_) for _ in range(2)], group_size=0)
    assert weight is not None
    experts_TK = torch.tensor([[1, 4], [-2, 0]], dtype=torch.int32)
    counts_E, num = torch.zeros(2, dtype=torch.int64), torch.tensor(2, dtype=torch.int32)
    tiles = sort_pairs(experts_TK, num_experts=2, rows=8, counts_E=counts_E, num_tokens=num)
    hidden_PF = torch.randn(4, F_)

    out_TKD = expert_linear(hidden_PF, weight, tiles, torch.ones(2, 2), is_complete=False)

    expected = torch.zeros(2, 2, D)
    expected[1, 1], expected[0, 0] = plain[0] @ hidden_PF[0], plain[1] @ hidden_PF[1]
    torch.testing.assert_close(out_TKD, expected)


@pytest.mark.parametrize("group_size", [48, 16])
def test_a_layer_of_few_bits_is_the_torch_one(device: torch.device, group_size: int) -> None:
    torch.manual_seed(0)
    layer = Int4Linear(_int4(torch.randn(20, 96), group_size))
    x_TI = torch.randn(3, 96)
    weight = stack_linear(layer)
    assert weight is not None

    torch.testing.assert_close(linear(x_TI, weight), layer(x_TI))


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_what_rounding_added_is_still_known(kind: str) -> None:
    torch.manual_seed(0)
    weights = [torch.randn(20, 48) for _ in range(3)]
    stacked, _ = _stacked(kind, weights, group_size=16)
    assert stacked is not None

    noise, energy = stacked.rounding()

    expected = (
        [_int4(w, 16).rounding() for w in weights]
        if kind == "int4"
        else [Int8Linear(*quantize_int8([w])).weight.rounding() for w in weights]
    )
    assert (noise, energy) == pytest.approx([sum(each) for each in zip(*expected, strict=True)], rel=1e-2)


def test_kinds_that_the_kernels_do_not_read_are_left_to_torch() -> None:
    uneven = Int4Linear(_int4(torch.randn(6, 36), 12))  # groups of 12 fit no tile

    assert stack_linear(uneven) is None
    assert stack_linear(object()) is None
    assert stack_linear(DenseLinear(torch.randn(2, 4))) is not None
    assert stack_linear(Int8Linear(*quantize_int8([torch.randn(2, 4)]))) is not None
