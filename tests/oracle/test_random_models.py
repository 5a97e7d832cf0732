"""Our decoder against transformers on small random models: dense Llama and GLM-4-MoE with experts that matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Glm4MoeConfig, Glm4MoeForCausalLM, LlamaConfig, LlamaForCausalLM

from core_model.config import parse_config
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.weights import Weights
from tests.oracle.oracles import our_logits, randomize, save_and_read, their_logits

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
MOE: dict[str, Any] = {
    **SIZES,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "n_routed_experts": 16,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 32,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
LLAMAS = {
    "grouped heads": {"num_key_value_heads": 2},
    "one key head": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "full heads, biases": {"num_key_value_heads": 4, "attention_bias": True},
    "wide heads, other theta": {"num_key_value_heads": 2, "head_dim": 32, "rope_theta": 1e6, "rms_norm_eps": 1e-3},
}
GLMS = {
    "one group": {},
    "groups": {"n_group": 4, "topk_group": 2},
    "scaled, not normalised": {"n_group": 2, "topk_group": 1, "norm_topk_prob": False, "routed_scaling_factor": 2.5},
    "qk norm, partial rotary, biases": {"use_qk_norm": True, "partial_rotary_factor": 0.5, "attention_bias": True},
    "two shared experts, no dense layer, tied": {
        "n_shared_experts": 2,
        "first_k_dense_replace": 0,
        "partial_rotary_factor": 1.0,
        "tie_word_embeddings": True,
    },
}
CASES = [
    *[pytest.param(LlamaForCausalLM, LlamaConfig, {**SIZES, **c}, id=f"llama: {name}") for name, c in LLAMAS.items()],
    *[pytest.param(Glm4MoeForCausalLM, Glm4MoeConfig, {**MOE, **c}, id=f"glm: {name}") for name, c in GLMS.items()],
]
IDS = torch.randint(0, 96, (40,), generator=torch.Generator().manual_seed(1)).tolist()


@pytest.mark.parametrize(("model_class", "config_class", "options"), CASES)
def test_logits_equal_transformers(
    tmp_path: Path, model_class: Any, config_class: Any, options: dict[str, Any]
) -> None:
    oracle = randomize(model_class(config_class(**options)), seed=0)
    config, tensors = save_and_read(oracle, tmp_path)
    expected = their_logits(oracle, IDS)

    found = our_logits(config, tensors, IDS)

    assert expected.std() > 0.3
    assert (found - expected).abs().max() <= 1e-4


@pytest.mark.parametrize(("model_class", "config_class", "options"), CASES)
def test_bf16_is_no_further_from_fp32_than_transformers_bf16(
    tmp_path: Path, model_class: Any, config_class: Any, options: dict[str, Any]
) -> None:
    """A rounding may flip a router, so two bf16 programs cannot be compared logit for logit; their mean errors can."""
    oracle = randomize(model_class(config_class(**options)), seed=0)
    exact = their_logits(oracle, IDS)
    config, tensors = save_and_read(oracle.to(torch.bfloat16), tmp_path)
    theirs = (their_logits(oracle, IDS) - exact).abs().mean()

    ours = (our_logits(config, tensors, IDS, "bf16") - exact).abs().mean()

    assert ours <= 1.5 * theirs


@pytest.mark.parametrize(("model_class", "config_class", "options"), CASES)
def test_cached_equals_uncached(tmp_path: Path, model_class: Any, config_class: Any, options: dict[str, Any]) -> None:
    config, tensors = save_and_read(randomize(model_class(config_class(**options)), seed=0), tmp_path)
    decoder = Decoder(parse_config(config), Weights(tensors, precision="fp32"))
    ids = torch.tensor(IDS)
    whole = decoder(ids, [Segment(40)])
    cache = PagedCache(decoder.config, num_pages=8, page_size=16, dtype=decoder.dtype, device=decoder.device)
    slot, _ = cache.begin(IDS) or (0, 0)

    pieces = [decoder(ids[:20], [Segment(20, 0, slot)], cache), decoder(ids[20:32], [Segment(12, 20, slot)], cache)]
    pieces += [decoder(ids[i : i + 1], [Segment(1, i, slot)], cache) for i in range(32, 40)]

    assert torch.allclose(torch.cat(pieces), whole, atol=1e-4)


@pytest.mark.parametrize(("model_class", "config_class", "options"), CASES)
def test_sequences_side_by_side_equal_each_alone(
    tmp_path: Path, model_class: Any, config_class: Any, options: dict[str, Any]
) -> None:
    config, tensors = save_and_read(randomize(model_class(config_class(**options)), seed=0), tmp_path)
    decoder = Decoder(parse_config(config), Weights(tensors, precision="fp32"))
    ids = torch.tensor(IDS)

    together = decoder(torch.cat((ids[:7], ids[7:8], ids[:40])), [Segment(7), Segment(1), Segment(40)])
    alone = [decoder(part, [Segment(len(part))]) for part in (ids[:7], ids[7:8], ids)]

    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_routed_experts_matter_in_these_oracles(tmp_path: Path) -> None:
    """Otherwise the tests above would pass with a broken router."""
    oracle = randomize(Glm4MoeForCausalLM(Glm4MoeConfig(**MOE, **GLMS["groups"])), seed=0)
    config, tensors = save_and_read(oracle, tmp_path)
    without = {name: t * 0 if ".experts." in name and "down_proj" in name else t for name, t in tensors.items()}

    assert (our_logits(config, without, IDS) - our_logits(config, tensors, IDS)).abs().max() > 0.1
