"""Small models of every kind that the kernels run, and the torch decoder that says what they must compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.config import parse_config
from core_model.kernels.library import Kernels
from core_model.kernels.step import Step
from core_model.kv_cache import PagedCache
from core_model.layout import expected_tensors
from core_model.model import Decoder
from core_model.quantize import Group, GroupedLinear, Linear
from core_model.quantized_weight import QuantizedWeight, Weight
from core_model.weights import Weights

_SIZES = {
    "vocab_size": 300,  # no multiple of 16
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,  # no multiple of 16, and not hidden_size / heads
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
}
_EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **_SIZES, "attention_bias": False, "tie_word_embeddings": True},
    "qwen2": {"model_type": "qwen2", **_SIZES, "head_dim": None, "hidden_size": 128, "num_key_value_heads": 1},
    "qwen3_moe": {"model_type": "qwen3_moe", **_SIZES, **_EXPERTS, "norm_topk_prob": True, "decoder_sparse_step": 1},
    "glm4_moe": {
        "model_type": "glm4_moe",
        **_SIZES,
        "attention_bias": False,
        "partial_rotary_factor": 0.5,
        "n_routed_experts": 8,
        "n_shared_experts": 2,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 32,
        "first_k_dense_replace": 1,
        "n_group": 4,
        "topk_group": 2,
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.5,
        "use_qk_norm": True,
        "num_nextn_predict_layers": 0,
    },
}


def random_weights(name: str) -> dict[str, Weight]:
    """Linear layers in 4 bits with free offsets in groups of 32, head and embeddings in 8, the rest plain."""
    torch.manual_seed(0)
    weights: dict[str, Weight] = {}
    for tensor, shape in expected_tensors(parse_config(CONFIGS[name])).items():
        value = torch.randn(shape) * (0.2 if len(shape) > 1 else 0.1) + ("norm" in tensor)
        if "embed_tokens" in tensor or "lm_head" in tensor:
            weights[tensor] = round_to_nearest(value, Scheme(8, 32, "symmetric"))
        elif len(shape) == 2 and not tensor.endswith("mlp.gate.weight"):
            weights[tensor] = round_to_nearest(value, Scheme(4, 32, "free"))
        else:
            weights[tensor] = value
    return weights


def native(name: str, kernels: Kernels) -> Decoder:
    """A model of `CONFIGS` on the kernels."""
    weights = Weights(random_weights(name), precision="int8", kernels=kernels)
    decoder = Decoder(parse_config(CONFIGS[name]), weights)
    decoder.step = Step(decoder)
    return decoder


def oracle(name: str) -> Decoder:
    """The same in fp32 by torch, but that linear layers round their inputs as the kernels do."""
    weights: dict[str, Weight] = {}
    for tensor, weight in random_weights(name).items():
        weights[tensor] = with_half_scales(weight) if isinstance(weight, QuantizedWeight) else weight
    return Decoder(parse_config(CONFIGS[name]), _OracleWeights(weights, precision="fp32"))


def open_halves(decoder: Decoder, *, page_size: int = 32) -> PagedCache:
    """A cache for the kernels."""
    return PagedCache(
        decoder.config,
        num_pages=2048 // page_size,
        page_size=page_size,
        dtype=decoder.dtype,
        device=decoder.device,
        precision="fp16",
    )


def with_half_scales(weight: QuantizedWeight) -> QuantizedWeight:
    """Scales and offsets as fp16 has them."""
    return QuantizedWeight(
        weight.codes_OI, weight.scale_OG.half().float(), weight.offset_OG.half().float(), weight.bits
    )


def rounded(x_NI: Tensor) -> Tensor:
    """Inputs in 8 bits, groups of 32."""
    x_NGX = x_NI.float().unflatten(-1, (-1, 32))
    step_NG1 = x_NGX.abs().amax(-1, keepdim=True) / 127
    return ((x_NGX / step_NG1.clamp_min(1e-30)).round() * step_NG1).flatten(-2)


class _RoundedLinear:
    def __init__(self, linear: Linear) -> None:
        self._linear = linear

    def __call__(self, x_NI: Tensor) -> Tensor:
        return self._linear(rounded(x_NI))


class _RoundedGroupedLinear:
    def __init__(self, linear: GroupedLinear) -> None:
        self._linear = linear

    def __call__(self, x_NI: Tensor, groups: Sequence[Group]) -> Tensor:
        return self._linear(rounded(x_NI), groups)


class _OracleWeights(Weights):
    def linear(self, prefix: str, *parts: str, bias: bool = False) -> Linear:
        return _RoundedLinear(super().linear(prefix, *parts, bias=bias))

    def grouped_linear(self, prefixes: Sequence[str], *parts: str, rows_per_token: int) -> GroupedLinear:
        return _RoundedGroupedLinear(super().grouped_linear(prefixes, *parts, rows_per_token=rows_per_token))
