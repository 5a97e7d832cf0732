"""The parts of a weight add up to the whole, and what cannot be shared is refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.adapter_bank import AdapterBank
from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.config import parse_config
from core_model.model import Decoder
from core_model.parallel.share import Share
from core_model.quantized_weight import QuantizedWeight, Weight
from core_model.rebalance import set_selection_biases
from core_model.weights import Weights
from tests.core_model.tiny import LLAMA, random_llama

CONFIG = parse_config(LLAMA)
ATTENTION, MLP = "model.layers.0.self_attn", "model.layers.0.mlp"


def _parts(name: str, weight: Weight, *, size: int = 2) -> list[Any]:
    return [Share(rank, size).part(name, weight, CONFIG) for rank in range(size)]


@pytest.mark.parametrize("name", [f"{ATTENTION}.q_proj.weight", f"{MLP}.up_proj.weight", "lm_head.weight"])
def test_outputs_are_shared_out_in_order(name: str) -> None:
    weight = torch.randn(32, 6)

    assert torch.equal(torch.cat(_parts(name, weight)), weight)
    assert [len(part) for part in _parts(name, weight)] == [16, 16]


@pytest.mark.parametrize("name", [f"{ATTENTION}.o_proj", f"{MLP}.down_proj", f"{MLP}.shared_experts.down_proj"])
def test_products_with_shares_of_the_inputs_add_up_and_a_bias_is_added_once(name: str) -> None:
    x, weight, bias = torch.randn(3, 8), torch.randn(5, 8), torch.randn(5)

    weights, biases = _parts(f"{name}.weight", weight), _parts(f"{name}.bias", bias)

    found = sum(torch.nn.functional.linear(*each) for each in zip(x.chunk(2, -1), weights, biases, strict=True))
    torch.testing.assert_close(found, torch.nn.functional.linear(x, weight, bias))


def test_a_key_value_head_is_with_each_process_that_has_queries_of_it() -> None:
    weight = torch.arange(2 * 8)[:, None].expand(-1, 3)  # two heads of eight rows

    firsts = [int(part[0, 0]) for part in _parts(f"{ATTENTION}.k_proj.weight", weight, size=4)]

    assert firsts == [0, 0, 8, 8]
    assert Share(3, 4).config(CONFIG).num_key_value_heads == 1
    assert Share(0, 2).config(CONFIG).num_attention_heads == 2


def test_experts_norms_routers_and_embeddings_are_whole_stacks_of_experts_are_shared() -> None:
    for name in (f"{MLP}.experts.3.down_proj.weight", "model.norm.weight", f"{MLP}.gate.weight"):
        weight = torch.randn(8, 4)
        assert all(part is weight for part in _parts(name, weight))
    stacked = torch.randn(4, 2, 3)
    assert torch.equal(torch.cat(_parts(f"{MLP}.experts.gate_up_proj", stacked)), stacked)
    assert [Share(rank, 3).experts(8) for rank in range(3)] == [range(2), range(2, 5), range(5, 8)]


def test_grouped_integers_are_cut_between_groups() -> None:
    weight = round_to_nearest(torch.randn(6, 64), Scheme(bits=4, group_size=16, offset="free"))

    parts: list[QuantizedWeight] = _parts(f"{ATTENTION}.o_proj.weight", weight)
    rows: list[QuantizedWeight] = _parts(f"{MLP}.gate_proj.weight", weight)

    assert torch.equal(torch.cat([part.dequantize() for part in parts], 1), weight.dequantize())
    assert torch.equal(torch.cat([part.dequantize() for part in rows]), weight.dequantize())


def test_groups_that_would_be_split_are_refused() -> None:
    weight = round_to_nearest(torch.randn(6, 48), Scheme(bits=4, group_size=16, offset="free"))

    with pytest.raises(ValueError, match="groups of 16 inputs, which 2 processes would split"):
        _parts(f"{ATTENTION}.o_proj.weight", weight)


@pytest.mark.parametrize(
    ("changes", "size", "why"),
    [({}, 3, "must divide 4 heads"), ({"use_qk_norm": True, "qk_norm_per_head": False}, 2, "norms all heads at once")],
)
def test_a_model_that_cannot_be_shared_is_refused(changes: dict[str, Any], size: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Share(0, size).config(replace(CONFIG, **changes))


def test_what_would_change_the_leader_alone_is_refused(tmp_path: Any) -> None:
    decoder = Decoder(CONFIG, Weights(random_llama(), precision="fp32", share=Share(0, 2), config=CONFIG))

    with pytest.raises(ValueError, match="not for a model on several devices"):
        AdapterBank(decoder).read(tmp_path)
    with pytest.raises(ValueError, match="cannot be changed in a model on several devices"):
        set_selection_biases(decoder, dict[str, Tensor]())
