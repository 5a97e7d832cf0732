"""Our decoder against transformers' classes, family by family, on small random models whose every part matters."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch

from core_model.attention import LatentAttention
from core_model.config import RopeScaling, parse_config
from core_model.model import Decoder, Segment
from core_model.weights import Weights
from tests.oracle.families import CASES, CHECKS, IDS, TOLERANCE, Pair, make_oracle, make_pair, prefill
from tests.oracle.oracles import our_logits, save_and_read, their_logits


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest) -> Pair:
    """The same model on both sides."""
    return make_pair(request.param)


@pytest.mark.parametrize(
    "check", [pytest.param(name, marks=pytest.mark.slow if name == "64 greedy tokens" else ()) for name in CHECKS]
)
@torch.no_grad()
def test_it_equals_transformers(pair: Pair, check: str) -> None:
    assert CHECKS[check](pair) <= TOLERANCE[check]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_bf16_is_no_further_from_fp32_than_transformers_bf16(tmp_path: Path, case: str) -> None:
    """A rounding may flip a router, so two bf16 programs cannot be compared logit for logit; typical errors can."""
    oracle = make_oracle(case)
    exact = their_logits(oracle, IDS)
    config, tensors = save_and_read(oracle.to(torch.bfloat16), tmp_path)
    theirs = (their_logits(oracle, IDS) - exact).abs().median()

    ours = (our_logits(config, tensors, IDS, "bf16") - exact).abs().median()

    assert ours <= 1.5 * theirs


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("Llama: llama3 rope", {"rope_scaling": RopeScaling()}),
        ("Llama: linear rope", {"rope_scaling": RopeScaling()}),
        ("Qwen3: yarn", {"rope_scaling": RopeScaling()}),
        ("Mistral: window", {"layer_windows": ()}),
        ("Qwen2: window", {"layer_windows": (8, 8, 8)}),
        ("GptOss: yarn", {"layer_windows": (0, 8, 0)}),
        ("Olmoe: normalised, clipped", {"clip_qkv": 0.0}),
        ("Olmoe: plain", {"norm_topk_prob": True}),
        ("Glm4Moe: groups", {"topk_group": 4}),
        ("Glm4Moe: scaled, not normalised", {"routed_scaling_factor": 1.0}),
        ("DeepseekV2: groups, yarn", {"topk_method": "greedy"}),
        ("DeepseekV3: groups", {"rope_interleave": False}),
        ("GptOss: yarn", {"swiglu_limit": 7.0}),
    ],
)
@torch.no_grad()
def test_the_oracle_would_notice_another_choice(case: str, change: dict[str, Any]) -> None:
    pair = make_pair(case)
    wrong = Decoder(replace(pair.ours.config, **change), Weights(pair.tensors, precision="fp32"))

    assert prefill(replace(pair, ours=wrong)) > 0.05


@pytest.mark.parametrize(
    ("case", "part"),
    [
        ("GptOss: yarn", "sinks"),
        ("GptOss: yarn", "gate_up_proj_bias"),
        ("GptOss: yarn", "router.bias"),
        ("DeepseekV3: groups", "e_score_correction_bias"),
        ("DeepseekV3: groups", "q_a_layernorm.weight"),
        ("DeepseekV3: groups", "down_proj.weight"),
        ("Qwen2: window", "k_proj.bias"),
        ("Qwen3: yarn", "k_norm.weight"),
        ("Mixtral: full", "w2.weight"),
    ],
)
@torch.no_grad()
def test_the_oracle_would_notice_a_missing_part(case: str, part: str) -> None:
    pair = make_pair(case)
    without = {name: t * 0 if name.endswith(part) else t for name, t in pair.tensors.items()}
    wrong = Decoder(pair.ours.config, Weights(without, precision="fp32"))

    assert prefill(replace(pair, ours=wrong)) > 0.05


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("Deepseek")])
def test_absorbed_and_expanded_latent_attention_are_the_same(case: str) -> None:
    pair = make_pair(case)
    ids = torch.tensor(IDS)
    results = []
    for absorb_below in (0, len(IDS) + 1):
        for layer in pair.ours.layers:
            assert isinstance(layer.self_attn, LatentAttention)
            layer.self_attn.absorb_below = absorb_below
        results.append(pair.ours.logits(pair.ours(ids, [Segment(len(IDS))])))

    assert (results[0] - results[1]).abs().max() <= 1e-4
    assert not torch.equal(*results)  # two ways of computing, indeed


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("Deepseek")])
def test_latent_attention_caches_the_compressed_part_alone(case: str) -> None:
    assert parse_config(make_pair(case).raw).cache_entry == (1, 24 + 8)


@pytest.mark.parametrize("case", [next(cases) for _, cases in groupby(CASES, lambda case: case.split(":")[0])])
def test_every_family_runs_in_int8_and_is_packed(case: str) -> None:
    pair = make_pair(case)
    config, ids, packed = pair.ours.config, torch.tensor(IDS), {}
    exact = pair.ours.logits(pair.ours(ids, [Segment(len(IDS))]))

    first = Decoder(config, Weights(pair.tensors, precision="int8", packed=packed))
    again = Decoder(config, Weights(packed, precision="int8"))
    found = first.logits(first(ids, [Segment(len(IDS))]))

    assert torch.equal(again.logits(again(ids, [Segment(len(IDS))])), found)
    assert (found - exact).abs().median() < 0.1 * exact.std()
