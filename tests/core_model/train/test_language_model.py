"""The trainable model: what it saves is what the serving core and transformers compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core_model.checkpoint import TensorFiles, write_json, write_tensors
from core_model.train.language_model import LanguageModel, Strategy
from tests.core_model.train.tiny_training import LLAMA, MOE, make_ids
from tests.oracle.oracles import our_logits, their_logits

IDS = make_ids(8)[:40]


def make_model(raw: dict[str, Any], strategy: Strategy | None = None) -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(raw, strategy)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2) if parameter.ndim > 1 else parameter.uniform_(0.5, 1.5)
        for layer in model.moe_layers().values():
            layer.gate.e_score_correction_bias.normal_(0, 0.2)
    return model.eval()


CASES = {
    "dense": LLAMA,
    "flat": MOE,
    "groups, first layer dense": {**MOE, "n_group": 4, "topk_group": 2, "first_k_dense_replace": 1},
    "half rotary, no shared experts, scaled": {
        **MOE,
        "partial_rotary_factor": 0.5,
        "rope_parameters": {**MOE["rope_parameters"], "partial_rotary_factor": 0.5},
        "routed_scaling_factor": 1.5,
        "norm_topk_prob": False,
        "n_shared_experts": 2,
        "tie_word_embeddings": False,
    },
}


@pytest.mark.parametrize("raw", CASES.values(), ids=CASES.keys())
def test_the_serving_decoder_gives_the_trained_models_logits(raw: dict[str, Any], tmp_path: Path) -> None:
    model = make_model(raw)
    config, tensors = model.checkpoint()
    write_tensors(tmp_path, tensors, lambda done: None)

    with torch.no_grad():
        expected = model(torch.tensor([IDS]))[0][0]
    assert (our_logits(config, TensorFiles(tmp_path), IDS) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("raw", CASES.values(), ids=CASES.keys())
def test_transformers_opens_the_checkpoint_and_agrees(raw: dict[str, Any], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = make_model(raw)
    config, tensors = model.checkpoint()
    write_tensors(tmp_path, tensors, lambda done: None)
    write_json(tmp_path / "config.json", config)

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model(torch.tensor([IDS]))[0][0]
    assert (their_logits(theirs, IDS) - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    "strategy",
    [
        Strategy(),
        Strategy(scoring_func="softmax"),
        Strategy(router="hierarchical", scoring_func="softmax"),
        Strategy(capacity_factor=0.5),
    ],
)
def test_at_evaluation_a_token_never_depends_on_later_ones(strategy: Strategy) -> None:
    model = make_model({**MOE, "n_group": 4, "topk_group": 2}, strategy)
    other = [*IDS[:20], *reversed(IDS[20:])]

    with torch.no_grad():
        logits, changed = (model(torch.tensor([ids]))[0][0, :20] for ids in (IDS, other))
    assert (logits - changed).abs().max() < 1e-5


def test_expert_choice_looks_into_the_future() -> None:
    model = make_model(MOE, Strategy(router="expert_choice"))
    other = [*IDS[:20], *([IDS[0]] * 20)]

    with torch.no_grad():
        logits, changed = (model(torch.tensor([ids]))[0][0, :20] for ids in (IDS, other))
    assert (logits - changed).abs().max() > 1e-3


def test_hierarchical_routing_stays_in_the_best_groups() -> None:
    model = make_model({**MOE, "n_group": 4, "topk_group": 1}, Strategy(router="hierarchical"))

    _, routings = model(torch.tensor([IDS]))
    for routing in routings:
        groups = routing.experts_TK // 2
        assert (groups[:, 0] == groups[:, 1]).all()
        assert routing.probs_TE.sum(-1).tolist() == pytest.approx([1] * len(IDS), abs=1e-5)


@pytest.mark.parametrize(
    "strategy", [Strategy(scoring_func="softmax"), Strategy(router="hierarchical"), Strategy(router="expert_choice")]
)
def test_a_router_that_the_layout_cannot_express_is_not_saved(strategy: Strategy) -> None:
    with pytest.raises(ValueError, match="flat sigmoid routers only"):
        make_model(MOE, strategy).checkpoint()


def test_a_family_that_it_does_not_train_is_refused() -> None:
    with pytest.raises(ValueError, match="must be llama or glm4_moe"):
        LanguageModel({**LLAMA, "attention_bias": True})
