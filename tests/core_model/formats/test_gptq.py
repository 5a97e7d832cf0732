"""GPTQ and AWQ against packers written from the published layouts, a bit at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core_model.formats.gptq import AwqFormat, GptqFormat
from core_model.formats.layers import StoredLayers
from core_model.quantized_weight import QuantizedWeight

OUTPUTS, INPUTS, GROUP = 16, 64, 32
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # AutoAWQ, awq/modules/linear/gemm.py, `order_map`


class Stored:
    """Random codes, zero points and scales, and the weight that they stand for."""

    def __init__(self, bits: int, *, group_I: np.ndarray[Any, Any] | None = None) -> None:
        random = np.random.default_rng(bits)
        self.bits, self.groups = bits, INPUTS // GROUP
        self.group_I = np.arange(INPUTS) // GROUP if group_I is None else group_I
        self.codes_IO = random.integers(0, 2**bits, (INPUTS, OUTPUTS))
        self.zeros_GO = random.integers(1, 2**bits, (self.groups, OUTPUTS))
        self.scales_GO = random.uniform(0.01, 0.02, (self.groups, OUTPUTS)).astype(np.float16)
        exact_IO = (self.codes_IO - self.zeros_GO[self.group_I]) * self.scales_GO[self.group_I].astype(np.float64)
        self.weight_OI = torch.from_numpy(exact_IO.T).float()

    def gptq(self, *, zero_shift: int) -> dict[str, Tensor]:
        """AutoGPTQ's `QuantLinear.pack`: codes down the inputs, zero points (less one in v1) along the outputs."""
        return {
            "x.qweight": torch.from_numpy(pack_columns(self.codes_IO.T, self.bits).T.copy()),
            "x.qzeros": torch.from_numpy(pack_columns(self.zeros_GO - zero_shift, self.bits)),
            "x.scales": torch.from_numpy(self.scales_GO),
            "x.g_idx": torch.from_numpy(self.group_I.astype(np.int32)),
        }

    def awq(self) -> dict[str, Tensor]:
        """AutoAWQ's `WQLinear_GEMM.from_linear`: eight outputs to a word in the kernel's order."""
        order = np.concatenate([np.array(AWQ_ORDER) + 8 * i for i in range(OUTPUTS // 8)])
        return {
            "x.qweight": torch.from_numpy(pack_columns(self.codes_IO[:, order], 4)),
            "x.qzeros": torch.from_numpy(pack_columns(self.zeros_GO[:, order], 4)),
            "x.scales": torch.from_numpy(self.scales_GO),
        }


def pack_columns(values: np.ndarray[Any, Any], bits: int) -> np.ndarray[Any, Any]:
    """(N, C) to int32 (N, C * bits / 32): value i of a word at bit i * bits."""
    per_word = 32 // bits
    words = np.zeros((values.shape[0], values.shape[1] // per_word), dtype=np.uint32)
    for column in range(values.shape[1]):
        words[:, column // per_word] |= values[:, column].astype(np.uint32) << np.uint32(column % per_word * bits)
    return words.view(np.int32)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zero_shift", [1, 0], ids=["v1", "v2"])
def test_gptq_codes_and_weights_come_back(bits: int, zero_shift: int) -> None:
    stored = Stored(bits)
    layers = StoredLayers(stored.gptq(zero_shift=zero_shift), [GptqFormat(bits, zero_shift)])

    weight = layers["x.weight"]

    assert list(layers) == ["x.weight"]
    assert layers.shape("x.weight") == (OUTPUTS, INPUTS)
    assert isinstance(weight, QuantizedWeight)
    assert np.array_equal(weight.codes_OI.numpy(), stored.codes_IO.T)
    assert torch.allclose(weight.dequantize(), stored.weight_OI, atol=1e-6)


def test_gptq_activation_order_is_undone() -> None:
    group_I = np.random.default_rng(0).permutation(np.arange(INPUTS) // GROUP)
    stored = Stored(4, group_I=group_I)

    weight = StoredLayers(stored.gptq(zero_shift=1), [GptqFormat(4, 1)])["x.weight"]

    assert isinstance(weight, Tensor)
    assert torch.allclose(weight, stored.weight_OI, atol=1e-6)


def test_a_group_index_beyond_the_groups_is_refused() -> None:
    tensors = Stored(4).gptq(zero_shift=1)
    tensors["x.g_idx"][3] = 7

    with pytest.raises(ValueError, match=r"tensor x\.weight: .*g_idx must give each of 64 inputs a group below 2"):
        StoredLayers(tensors, [GptqFormat(4, 1)])["x.weight"]


def test_awq_codes_and_weights_come_back() -> None:
    stored = Stored(4)
    layers = StoredLayers(stored.awq(), [AwqFormat()])

    weight = layers["x.weight"]

    assert layers.shape("x.weight") == (OUTPUTS, INPUTS)
    assert isinstance(weight, QuantizedWeight)
    assert np.array_equal(weight.codes_OI.numpy(), stored.codes_IO.T)
    assert torch.allclose(weight.dequantize(), stored.weight_OI, atol=1e-6)


@pytest.mark.parametrize("end", [".scales", ".qzeros"])
def test_parts_that_do_not_fit_are_named(end: str) -> None:
    tensors = Stored(4).gptq(zero_shift=1)
    tensors[f"x{end}"] = tensors[f"x{end}"][:, :1]

    with pytest.raises(ValueError, match=r"tensor x\.weight: x\.qweight, x\.qzeros.* do not fit together"):
        StoredLayers(tensors, [GptqFormat(4, 1)])["x.weight"]
