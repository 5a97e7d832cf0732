"""Mixture-of-experts layers: each token's result is its own, and experts know how many tokens they got."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core_model.config import parse_config
from core_model.model import Decoder, Segment
from core_model.upcycle import UpcycleRecipe, upcycle
from core_model.weights import Weights
from tests.core_model.tiny import LLAMA, make_decoder, random_llama

RECIPE = UpcycleRecipe(num_experts=8, expert_dim=16, experts_per_token=2)


def _upcycled() -> tuple[dict[str, Any], dict[str, Tensor]]:
    config, tensors = upcycle(LLAMA, random_llama(), RECIPE)
    generator = torch.Generator().manual_seed(0)
    filled = {
        name: torch.randn(t.shape, generator=generator) * 0.2 if ".experts." in name and "down_proj" in name else t
        for name, t in tensors.items()
    }
    return config, filled


def _decoder() -> Decoder:
    config, tensors = _upcycled()
    return Decoder(parse_config(config), Weights(tensors, precision="fp32"))


def test_tokens_are_counted_by_layer_and_expert_since_loading() -> None:
    decoder = _decoder()

    decoder(torch.arange(30), [Segment(30)])
    decoder(torch.arange(1), [Segment(1)])
    counts = decoder.expert_counts()

    assert counts.keys() == {0, 1}
    assert all(len(layer) == 8 and sum(layer) == 31 * 2 for layer in counts.values())
    assert counts[0] != counts[1]


def test_counts_are_a_copy() -> None:
    decoder = _decoder()
    before = decoder.expert_counts()

    decoder(torch.arange(5), [Segment(5)])

    assert sum(before[0]) == 0
    assert sum(decoder.expert_counts()[0]) == 10


def test_a_dense_decoder_has_no_counts() -> None:
    assert make_decoder("fp32").expert_counts() == {}


def test_a_token_alone_gets_what_it_gets_among_others() -> None:
    decoder = _decoder()
    mlp = decoder.layers[0].mlp
    x_TD = torch.randn(6, LLAMA["hidden_size"], generator=torch.Generator().manual_seed(0))

    together = mlp(x_TD)
    alone = torch.cat([mlp(row) for row in x_TD.split(1)])

    assert torch.allclose(together, alone, atol=1e-5)
