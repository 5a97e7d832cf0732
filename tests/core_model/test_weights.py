"""int8 layers that were packed before give the same decoder, bit for bit."""

from __future__ import annotations

import pytest
import torch

from core_model.config import parse_config
from core_model.model import Decoder, Segment
from core_model.weights import Precision, Weights
from tests.core_model.tiny import LLAMA, random_llama


def test_packed_weights_build_the_same_decoder_without_the_exact_ones() -> None:
    config, packed = parse_config(LLAMA), {}
    first = Decoder(config, Weights(random_llama(), precision="int8", packed=packed))
    ids_T = torch.arange(20)

    again = Decoder(config, Weights(packed, precision="int8"))

    assert torch.equal(again(ids_T, [Segment(20)]), first(ids_T, [Segment(20)]))
    assert torch.equal(again.logits(again(ids_T, [Segment(20)])), first.logits(first(ids_T, [Segment(20)])))
    assert not [name for name in packed if name.endswith("proj.weight")]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_stacked_tensor_gives_the_layers_that_take_turns_in_it(precision: Precision) -> None:
    """gpt-oss keeps (experts, inputs, outputs) with gate and up interleaved; parts come out side by side."""
    parts_EOI = torch.randn(3, 8, 16, generator=torch.Generator().manual_seed(0))  # 4 rows of gate, 4 of up
    gate, up = parts_EOI.chunk(2, dim=1)
    stacked = torch.stack((gate, up), dim=2).flatten(1, 2).transpose(1, 2)
    packed: dict[str, torch.Tensor] = {}
    x = torch.randn(6, 16, generator=torch.Generator().manual_seed(1))
    groups = [(0, 0, 1), (2, 1, 6)]

    weights = Weights({"experts": stacked}, precision=precision, packed=packed)
    found = weights.stacked_linear("experts", num_experts=3, rows_per_token=1, interleaved=2)(x, groups)
    expected = torch.cat((x[:1] @ parts_EOI[0].t(), x[1:] @ parts_EOI[2].t()))

    assert torch.allclose(found, expected, atol=1e-5 if precision == "fp32" else 0.3)
    if precision == "int8":
        again = Weights(packed, precision="int8").stacked_linear(
            "experts", num_experts=3, rows_per_token=1, interleaved=2
        )
        assert torch.equal(again(x, groups), found)
