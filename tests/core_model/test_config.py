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


YARN = {"rope_type": "yarn", "factor": 4.0}
QWEN2 = {"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": True, "max_window_layers": 1}
LATENT = {
    "model_type": "deepseek_v2",
    "q_lora_rank": None,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "topk_method": "greedy",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "mamba"},
            r"model_type: unknown family \(got 'mamba'\). Use one of: deepseek_v2, .*, qwen3_moe",
        ),
        ({"rope_scaling": {"rope_type": "longrope"}}, "rope_type is not implemented; one of .* is .*'longrope'"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type is not implemented.*'dynamic'"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_scaling of type yarn needs factor"),
        (
            {"rope_scaling": {**YARN, "short_factor": [1.0]}},
            r"rope_scaling of type yarn has unknown key\(s\) short_factor",
        ),
        ({"rope_scaling": {**YARN, "factor": 0.5}}, "rope_scaling.factor must be 1 or more"),
        ({"hidden_act": "gelu"}, 'hidden_act must be "silu"'),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping is unknown for 'llama' and may change"),
        ({"sliding_window": 8}, "sliding_window is unknown for 'llama'"),
        ({"num_key_value_heads": 3}, "num_key_value_heads must divide num_attention_heads=4"),
        ({"head_dim": 7}, "head_dim rotates 7 dimensions, not even"),
        ({**QWEN2, "mlp_bias": True}, "mlp_bias must be false"),
        ({**QWEN2, "sliding_window": 0}, "sliding_window must be 1 or more, or null"),
        ({**QWEN2, "layer_types": ["full_attention"]}, "layer_types must be 2 of"),
        ({**QWEN2, "layer_types": ["chunked_attention"] * 2}, "layer_types must be 2 of"),
        ({"model_type": "mistral"}, r"missing key\(s\) sliding_window"),
        ({**MOE, "n_group": 3}, "n_group must divide n_routed_experts=8"),
        ({**MOE, "topk_group": 3}, "topk_group must be 1 to 2"),
        ({**MOE, "num_experts_per_tok": 5}, "num_experts_per_tok must be 1 to 4"),
        ({**MOE, "n_group": 8, "topk_group": 2}, "fewer than two experts a group"),
        ({**MOE, "topk_method": "greedy"}, 'topk_method must be "noaux_tc"'),
        ({**MOE, **LATENT, "norm_topk_prob": True}, "norm_topk_prob must be false"),
        ({**MOE, **LATENT, "topk_method": "random", "norm_topk_prob": False}, "topk_method must be one of greedy"),
        ({**MOE, **LATENT, "kv_lora_rank": None, "norm_topk_prob": False}, "kv_lora_rank must be set"),
        ({**MOE, **LATENT, "moe_layer_freq": 2, "norm_topk_prob": False}, "moe_layer_freq must be 1"),
    ],
)
def test_what_is_not_implemented_is_refused(llama_config: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_config({**llama_config, **change})


def test_keys_about_training_and_null_ones_are_no_matter(llama_config: dict[str, Any]) -> None:
    extra = {"_name_or_path": "x", "router_aux_loss_coef": 0.1, "sep_token_id": 3, "sliding_window": None}

    assert parse_config({**llama_config, **extra}) == parse_config(llama_config)


@pytest.mark.parametrize(
    ("change", "windows"),
    [
        (QWEN2, (0, 8)),
        ({**QWEN2, "use_sliding_window": False}, ()),
        ({**QWEN2, "layer_types": ["sliding_attention", "full_attention"]}, (8, 0)),
        ({"model_type": "mistral", "sliding_window": 8}, (8, 8)),
        ({"model_type": "mistral", "sliding_window": None}, ()),
    ],
)
def test_each_layer_has_its_window(
    llama_config: dict[str, Any], change: dict[str, Any], windows: tuple[int, ...]
) -> None:
    assert parse_config({**llama_config, **change}).layer_windows == windows


def test_a_window_as_an_option_keeps_narrower_ones(llama_config: dict[str, Any]) -> None:
    config = parse_config({**llama_config, **QWEN2})

    assert config.with_window(20, sinks=2).layer_windows == (20, 8)
    assert config.with_window(4).sink_tokens == 4
    with pytest.raises(ValueError, match="window: must be 1 or more, sinks 0 or more"):
        config.with_window(0)


def test_latent_attention_leaves_one_compressed_entry_a_token(llama_config: dict[str, Any]) -> None:
    config = parse_config({**llama_config, **MOE, **LATENT, "norm_topk_prob": False})

    assert config.cache_entry == (1, 32)
    assert (config.head_dim, config.rotary_dim, config.q_lora_rank) == (24, 8, 0)


@pytest.mark.parametrize(
    ("name", "unread"),
    [
        ("model.layers.2.mlp.experts.0.gate_proj.weight", True),  # one layer that predicts a further token
        ("model.layers.3.mlp.gate.weight", False),
        ("model.layers.1.mlp.gate.weight", False),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", True),
        ("lm_head.weight", True),
        ("model.norm.weight", False),
    ],
)
def test_what_a_checkpoint_may_hold_beyond_the_decoder(llama_config: dict[str, Any], name: str, unread: bool) -> None:
    config = parse_config({**llama_config, **MOE, "num_nextn_predict_layers": 1})

    assert config.leaves_unread(name) == unread
    assert not parse_config({**llama_config, **MOE}).leaves_unread("model.layers.2.mlp.gate.weight")


def test_a_missing_key_is_named(llama_config: dict[str, Any]) -> None:
    del llama_config["hidden_size"]

    with pytest.raises(ValueError, match=r"missing key.*hidden_size"):
        parse_config(llama_config)


def test_a_folder_without_config_is_refused(tmp_path: Path, llama_config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no config\.json"):
        load_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(llama_config))

    assert load_config(tmp_path).vocab_size == 300


def test_rotary_settings_may_lie_beside_each_other(llama_config: dict[str, Any]) -> None:
    """As every config.json before transformers 5 has them."""
    assert parse_config({**llama_config, "rope_theta": 500_000.0}).rope_theta == 500_000.0
