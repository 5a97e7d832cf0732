"""Upcycling changes the architecture and not one logit; trained experts then do change it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.config import parse_config
from core_model.model import Decoder, Segment
from core_model.upcycle import UpcycleRecipe, upcycle
from core_model.weights import Weights

RECIPE = UpcycleRecipe(num_experts=8, expert_dim=16)
IDS = torch.arange(3, 23)


def logits(config: dict[str, Any], tensors: dict[str, Tensor]) -> Tensor:
    model = Decoder(parse_config(config), Weights(tensors, precision="fp32"))
    return model.logits(model(IDS, [Segment(len(IDS))]))


def test_the_upcycled_model_is_the_dense_one_exactly(
    llama_config: dict[str, Any], llama_tensors: dict[str, Tensor]
) -> None:
    config, tensors = upcycle(llama_config, llama_tensors, RECIPE)

    assert torch.equal(logits(config, tensors), logits(llama_config, llama_tensors))


def test_filled_experts_are_used(llama_config: dict[str, Any], llama_tensors: dict[str, Tensor]) -> None:
    config, tensors = upcycle(llama_config, llama_tensors, RECIPE)
    name = "model.layers.1.mlp.experts.{}.down_proj.weight"
    tensors |= {name.format(i): torch.randn(32, 16) for i in range(8)}

    assert not torch.allclose(logits(config, tensors), logits(llama_config, llama_tensors), atol=0.1)


def test_the_layout_is_glm4_moe_and_repeatable(llama_config: dict[str, Any], llama_tensors: dict[str, Tensor]) -> None:
    config, tensors = upcycle(llama_config, llama_tensors, RECIPE)
    again = upcycle(llama_config, llama_tensors, RECIPE)[1]

    assert config["n_shared_experts"] * config["moe_intermediate_size"] == llama_config["intermediate_size"]
    assert (config["n_group"], config["topk_group"]) == (4, 2)
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    gate = llama_tensors["model.layers.0.mlp.gate_proj.weight"]
    assert torch.equal(tensors["model.layers.0.mlp.experts.5.gate_proj.weight"], gate[16:32])  # 5 * 16 wraps at 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "glm4_moe"}, "only a Llama without biases"),
        ({"attention_bias": True}, "only a Llama without biases"),
        ({"intermediate_size": 65}, "expert_dim: must divide intermediate_size=65"),
    ],
)
def test_other_models_are_refused(
    llama_config: dict[str, Any], llama_tensors: dict[str, Tensor], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        upcycle({**llama_config, **change}, llama_tensors, RECIPE)
