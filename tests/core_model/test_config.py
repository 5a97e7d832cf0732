"""config.json is read strictly: what this decoder does not do is refused, never ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core_model.config import load_config, parse_config

MOE = {
    "model_type": "glm4_moe",
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.0,
}


def test_a_llama_config_is_read_with_its_defaults(llama_config: dict[str, Any]) -> None:
    config = parse_config(llama_config)

    assert (config.head_dim, config.rotary_dim, config.rope_theta) == (8, 8, 10_000.0)
    assert not config.is_moe_layer(0)


def test_new_style_rope_parameters_win(llama_config: dict[str, Any]) -> None:
    rope = {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.5}

    config = parse_config({**llama_config, "rope_parameters": rope})

    assert (config.rope_theta, config.rotary_dim) == (5e5, 4)


def test_the_first_layers_of_a_moe_may_be_dense(llama_config: dict[str, Any]) -> None:
    config = parse_config({**llama_config, **MOE})

    assert [config.is_moe_layer(i) for i in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, r"model_type: unknown family \(got 'mamba'\). Use one of: glm4_moe, llama"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_type is not implemented.*'yarn'"),
        ({"hidden_act": "gelu"}, "hidden_act must be 'silu'"),
        ({"mlp_bias": True}, "mlp_bias must be false"),
        ({"num_key_value_heads": 3}, "num_key_value_heads must divide num_attention_heads=4"),
        ({**MOE, "n_group": 3}, "n_group must divide n_routed_experts=8"),
        ({**MOE, "topk_group": 3}, "topk_group must be 1 to 2"),
        ({**MOE, "num_experts_per_tok": 5}, "num_experts_per_tok must be 1 to 4"),
        ({**MOE, "n_group": 8, "topk_group": 2}, "fewer than two experts a group"),
    ],
)
def test_what_is_not_implemented_is_refused(llama_config: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_config({**llama_config, **change})


def test_a_missing_key_is_named(llama_config: dict[str, Any]) -> None:
    del llama_config["hidden_size"]

    with pytest.raises(ValueError, match=r"missing key.*hidden_size"):
        parse_config(llama_config)


def test_a_folder_without_config_is_refused(tmp_path: Path, llama_config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no config\.json"):
        load_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(llama_config))

    assert load_config(tmp_path).vocab_size == 300
