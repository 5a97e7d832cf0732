"""Small random models of every family, and what of ours is compared with transformers' own classes on them.

    python -m tests.oracle.families

prints the table: family x check, the largest absolute difference of logits in fp32 (for greedy: tokens that differ).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from core_model.config import parse_config
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.weights import Weights
from tests.core_model.tiny import open_cache
from tests.oracle.oracles import randomize, save_and_read

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
EXPERTS: dict[str, Any] = {
    "n_routed_experts": 16,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 32,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
LATENT: dict[str, Any] = {
    **EXPERTS,
    "num_key_value_heads": 4,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
}
GROUPS = {"n_group": 4, "topk_group": 2}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {**YARN, "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
# transformers' class -> variants. Positions reach 104: beyond every window and every context before scaling.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "Llama": (
        SIZES,
        {
            "grouped heads": {},
            "one key head, tied": {"num_key_value_heads": 1, "tie_word_embeddings": True},
            "all biases": {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True},
            "wide heads, other theta": {"head_dim": 32, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
            "llama3 rope": {"rope_parameters": LLAMA3},
            "linear rope": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0}},
        },
    ),
    "Mistral": (SIZES, {"window": {"sliding_window": 8, "head_dim": 16}}),
    "Qwen2": (
        SIZES,
        {
            "tied": {"tie_word_embeddings": True},
            "window": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
        },
    ),
    "Qwen3": (
        {**SIZES, "head_dim": 32},
        {
            "yarn": {"rope_parameters": YARN},
            "yarn, own factor": {"rope_parameters": {**YARN, "attention_factor": 1.3, "beta_fast": 8.0}},
            "window": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2, "attention_bias": True},
        },
    ),
    "Mixtral": (
        {**SIZES, "num_local_experts": 8, "num_experts_per_tok": 2},
        {"full": {}, "window": {"sliding_window": 8}},
    ),
    "Olmoe": (
        {**SIZES, "num_experts": 8, "num_experts_per_tok": 3},
        {"plain": {}, "normalised, clipped": {"norm_topk_prob": True, "clip_qkv": 1.5, "attention_bias": True}},
    ),
    "Qwen3Moe": (
        {**SIZES, "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32, "head_dim": 16},
        {
            "all layers": {},
            "normalised, every other layer": {"norm_topk_prob": True, "decoder_sparse_step": 2},
            "dense first layer, window": {"mlp_only_layers": [0], "use_sliding_window": True, "sliding_window": 8},
        },
    ),
    "Glm4Moe": (
        {**SIZES, **EXPERTS, "head_dim": 16},
        {
            "one group": {},
            "groups": GROUPS,
            "scaled, not normalised": {**GROUPS, "norm_topk_prob": False, "routed_scaling_factor": 2.5},
            "qk norm, biases": {"use_qk_norm": True, "attention_bias": True},
            "two shared experts, all layers, tied": {
                "n_shared_experts": 2,
                "first_k_dense_replace": 0,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
                "tie_word_embeddings": True,
            },
        },
    ),
    "DeepseekV2": (
        {**SIZES, **LATENT},
        {
            "greedy": {"q_lora_rank": None, "topk_method": "greedy"},
            "groups, yarn": {
                **GROUPS,
                "q_lora_rank": 20,
                "topk_method": "group_limited_greedy",
                "routed_scaling_factor": 4.0,
                "n_shared_experts": 2,
                "rope_parameters": {**YARN, "mscale": 0.707, "mscale_all_dim": 0.707},
            },
            "biases, yarn with two scales": {
                "q_lora_rank": 20,
                "topk_method": "greedy",
                "attention_bias": True,
                "mlp_bias": True,
                "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 0.5},
            },
        },
    ),
    "DeepseekV3": (
        {**SIZES, **LATENT, **GROUPS},
        {
            "groups": {"q_lora_rank": 20},
            "yarn, plain queries": {
                "q_lora_rank": None,
                "first_k_dense_replace": 2,
                "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0},
            },
            "rope by halves, not normalised": {
                "q_lora_rank": 20,
                "rope_interleave": False,
                "norm_topk_prob": False,
                "attention_bias": True,
            },
        },
    ),
    "GptOss": (
        {**SIZES, "num_local_experts": 8, "num_experts_per_tok": 3, "head_dim": 16, "sliding_window": 8},
        {
            "yarn": {"swiglu_limit": 1.0, "rope_parameters": {**YARN, "truncate": False}},
            "window first and last": {
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
}
CASES = [f"{family}: {name}" for family, (_, variants) in VARIANTS.items() for name in variants]
IDS: list[int] = torch.randint(0, 96, (40,), generator=torch.Generator().manual_seed(1)).tolist()
NUM_GREEDY = 64


@dataclass(frozen=True)
class Pair:
    """The same model twice: transformers' and ours, which read what theirs saved."""

    theirs: Any
    ours: Decoder
    raw: dict[str, Any]
    tensors: dict[str, Tensor]

    def cache(self) -> PagedCache:
        """Room for three sequences."""
        return open_cache(self.ours.config, num_slots=3, max_context=128)


def make_oracle(case: str) -> Any:
    """transformers' model of a case, with random weights that matter."""
    family, variant = case.split(": ")
    sizes, variants = VARIANTS[family]
    config = getattr(transformers, f"{family}Config")(**{**sizes, **variants[variant]})
    return randomize(getattr(transformers, f"{family}ForCausalLM")(config), seed=0)


def make_pair(case: str) -> Pair:
    """Both sides of a case, fp32."""
    theirs = make_oracle(case)
    with tempfile.TemporaryDirectory() as folder:
        raw, files = save_and_read(theirs, Path(folder))
        tensors = {name: files[name].clone() for name in files}
    return Pair(theirs, Decoder(parse_config(raw), Weights(tensors, precision="fp32")), raw, tensors)


def prefill(pair: Pair) -> float:
    """A whole sequence at once."""
    ids = torch.tensor(IDS)
    return _difference(pair.ours.logits(pair.ours(ids, [Segment(len(IDS))])), pair.theirs(ids[None]).logits[0])


def cached_decode(pair: Pair) -> float:
    """A prompt in two chunks, then token by token through the cache; theirs through their own cache."""
    ids, cache, past = torch.tensor(IDS), pair.cache(), None
    spans = [(0, 12), (12, 20), *((i, i + 1) for i in range(20, len(IDS)))]
    ours, theirs = [], []
    for start, end in spans:
        ours.append(pair.ours.logits(pair.ours(ids[start:end], [Segment(end - start, start, 1)], cache)))
        out = pair.theirs(ids[None, start:end], past_key_values=past, use_cache=True)
        past = out.past_key_values
        theirs.append(out.logits[0])
    return _difference(torch.cat(ours), torch.cat(theirs))


def left_padding(pair: Pair) -> float:
    """Their left-padded batch against our unpadded segments, at the real tokens."""
    rows = [IDS[:9], IDS[5:40], IDS[20:37]]
    width = max(map(len, rows))
    padded = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    theirs = pair.theirs(padded, attention_mask=mask, position_ids=positions).logits
    ours = pair.ours.logits(
        pair.ours(torch.tensor([i for row in rows for i in row]), [Segment(len(row)) for row in rows])
    )
    return _difference(ours, theirs[mask.bool()])


def mixed_batch(pair: Pair) -> float:
    """One call with a decoded token, a chunk in the middle of a sequence, and a whole one; theirs each alone."""
    cache, rows = pair.cache(), [IDS[:30], IDS[3:36], IDS[10:17]]
    pair.ours(torch.tensor(rows[0][:29] + rows[1][:20]), [Segment(29, 0, 0), Segment(20, 0, 1)], cache)
    new = rows[0][29:] + rows[1][20:] + rows[2]
    hidden = pair.ours(torch.tensor(new), [Segment(1, 29, 0), Segment(13, 20, 1), Segment(7, 0, 2)], cache)
    theirs = [pair.theirs(torch.tensor([row])).logits[0, first:] for row, first in zip(rows, (29, 20, 0), strict=True)]
    return _difference(pair.ours.logits(hidden), torch.cat(theirs))


def greedy(pair: Pair) -> float:
    """How many of 64 greedily generated tokens differ."""
    prompt, cache = IDS[:16], pair.cache()
    theirs = pair.theirs.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        max_new_tokens=NUM_GREEDY,
        min_new_tokens=NUM_GREEDY,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )[0, len(prompt) :]
    new, start, found = prompt, 0, []
    for _ in range(NUM_GREEDY):
        hidden = pair.ours(torch.tensor(new), [Segment(len(new), start, 0)], cache)
        start += len(new)
        new = [int(pair.ours.logits(hidden[-1:]).argmax())]
        found += new
    return float((torch.tensor(found) != theirs).sum())


CHECKS: dict[str, Callable[[Pair], float]] = {
    "prefill": prefill,
    "cached decode": cached_decode,
    "left padding": left_padding,
    "mixed batch": mixed_batch,
    "64 greedy tokens": greedy,
}
TOLERANCE = {check: 0.0 if check == "64 greedy tokens" else 1e-4 for check in CHECKS}


def _difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


@torch.no_grad()
def main() -> None:
    """Print the table; the exit status says whether all checks hold."""
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    failed = 0
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, fp32; tolerance 1e-4, greedy 0")
    print(f"{'':54}" + "".join(f"{check:>18}" for check in CHECKS))
    for case in CASES:
        pair = make_pair(case)
        found = {check: run(pair) for check, run in CHECKS.items()}
        failed += sum(found[check] > TOLERANCE[check] for check in CHECKS)
        print(f"{case:54}" + "".join(f"{value:18.1e}" if value else f"{0:18}" for value in found.values()), flush=True)
    print("all equal within the tolerance" if not failed else f"{failed} checks FAILED")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
