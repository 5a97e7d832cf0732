"""Pruned checkpoints open in our decoder and in transformers, and lose what was meant and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.checkpoint import write_json, write_tensors
from core_model.compress.importance import head_importance, layer_importance
from core_model.compress.prune import (
    keep_experts,
    keep_heads,
    keep_layers,
    keep_shared_experts,
    prune_weights,
)
from core_model.config import parse_config
from core_model.evaluate import token_logits
from core_model.model import Decoder
from core_model.train.language_model import LanguageModel
from core_model.upcycle import UpcycleRecipe, upcycle
from core_model.weights import Weights
from tests.core_model.train.tiny_training import LLAMA, MOE, make_ids
from tests.oracle.oracles import our_logits, their_logits

IDS = make_ids(8)[:40]
GROUPED = {**MOE, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1}


def make_checkpoint(raw: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    torch.manual_seed(0)
    model = LanguageModel(raw)
    with torch.no_grad():
        for layer in model.moe_layers().values():
            layer.gate.weight.normal_(0, 0.3)
            layer.gate.e_score_correction_bias.normal_(0, 0.2)
    return model.checkpoint()


def make_decoder(config: dict[str, Any], tensors: dict[str, Tensor]) -> Decoder:
    return Decoder(parse_config(config), Weights(tensors, precision="fp32"))


def require_same_in_transformers(config: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    write_tensors(folder, tensors, lambda done: None)
    write_json(folder / "config.json", config)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert (their_logits(theirs, IDS) - our_logits(config, tensors, IDS)).abs().max() < 1e-4


def share_of_zeros(tensors: dict[str, Tensor], ending: str) -> float:
    weights = [tensors[name] for name in tensors if name.endswith(ending)]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


def test_magnitude_pruning_zeroes_the_smallest_weights_of_projections_only() -> None:
    _, tensors = make_checkpoint(MOE)
    pruned = prune_weights(tensors, sparsity=0.3)

    assert share_of_zeros(pruned, "_proj.weight") == pytest.approx(0.3, abs=0.01)
    name = "model.layers.0.self_attn.q_proj.weight"
    kept = pruned[name] != 0
    assert tensors[name][~kept].abs().max() <= tensors[name][kept].abs().min()
    for untouched in ("model.embed_tokens.weight", "model.layers.0.mlp.gate.weight", "model.norm.weight"):
        assert torch.equal(pruned[untouched], tensors[untouched])


def test_two_of_four_neighbours_are_zero() -> None:
    _, tensors = make_checkpoint(LLAMA)
    pruned = prune_weights(tensors, pattern="2:4")

    zeros = (pruned["model.layers.1.mlp.down_proj.weight"] == 0).unflatten(1, (-1, 4)).sum(-1)
    assert (zeros == 2).all()
    assert share_of_zeros(pruned, "_proj.weight") == 0.5


def test_experts_are_pruned_whatever_their_family_calls_them() -> None:
    name = "model.layers.0.block_sparse_moe.experts.3.w2.weight"
    router = "model.layers.0.block_sparse_moe.gate.weight"

    pruned = prune_weights({name: torch.randn(8, 8), router: torch.randn(8, 8)}, sparsity=0.5)

    assert share_of_zeros(pruned, "w2.weight") == 0.5
    assert share_of_zeros(pruned, "gate.weight") == 0


@pytest.mark.parametrize("raw", [MOE, GROUPED], ids=["flat", "groups, first layer dense"])
def test_the_least_used_experts_go_and_the_rest_is_renumbered(raw: dict[str, Any], tmp_path: Path) -> None:
    config, tensors = make_checkpoint(raw)
    counts = {layer: [5, 90, 40, 2, 60, 3, 80, 1] for layer in (0, 1)}
    smaller, pruned = keep_experts(config, tensors, counts, num_kept=4)

    kept = [1, 2, 4, 6]
    assert smaller["n_routed_experts"] == 4
    prefix = "model.layers.1.mlp"
    assert torch.equal(pruned[f"{prefix}.gate.weight"], tensors[f"{prefix}.gate.weight"][kept])
    assert torch.equal(pruned[f"{prefix}.experts.3.up_proj.weight"], tensors[f"{prefix}.experts.6.up_proj.weight"])
    require_same_in_transformers(smaller, pruned, tmp_path)


def test_dropping_experts_that_were_never_chosen_changes_nothing() -> None:
    config, tensors = make_checkpoint(MOE)
    for layer in range(2):  # a bias that no score can make up for
        tensors[f"model.layers.{layer}.mlp.gate.e_score_correction_bias"][[0, 3, 5, 7]] = -10
    counts = {layer: [0, 9, 9, 0, 9, 0, 9, 0] for layer in (0, 1)}
    smaller, pruned = keep_experts(config, tensors, counts, num_kept=4)

    assert (our_logits(config, tensors, IDS) - our_logits(smaller, pruned, IDS)).abs().max() < 1e-5


def test_every_group_keeps_as_many_experts() -> None:
    config, tensors = make_checkpoint(GROUPED)
    all_use_in_one_group = {1: [9, 8, 7, 6, 0, 1, 2, 3]}
    _, pruned = keep_experts(config, tensors, all_use_in_one_group, num_kept=4)

    router = "model.layers.1.mlp.gate.weight"
    assert torch.equal(pruned[router], tensors[router][[0, 1, 6, 7]])


@pytest.mark.parametrize(
    ("num_kept", "counts", "message"),
    [
        (3, {1: [1] * 8}, "multiple of the 2 group"),
        (9, {1: [1] * 8}, "must be 1 to 8"),
        (2, {1: [1] * 8}, "num_experts_per_tok|fewer than two experts"),
        (4, {}, "counts: needs one of each of the 8 experts of layer 1"),
    ],
)
def test_impossible_expert_pruning_is_refused(num_kept: int, counts: dict[int, list[int]], message: str) -> None:
    config, tensors = make_checkpoint(GROUPED)

    with pytest.raises(ValueError, match=message):
        keep_experts(config, tensors, counts, num_kept=num_kept)


def test_a_dense_model_has_no_experts_to_prune() -> None:
    with pytest.raises(ValueError, match="experts that are stored one by one"):
        keep_experts(*make_checkpoint(LLAMA), {}, num_kept=4)


def test_an_upcycled_model_without_its_untrained_experts_is_the_dense_one(tmp_path: Path) -> None:
    dense = make_checkpoint({**LLAMA, "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}})
    config, tensors = upcycle(*dense, UpcycleRecipe(num_experts=8, expert_dim=16, groups=("a", "b"), topk_group=1))
    smaller, pruned = keep_shared_experts(config, tensors)

    assert pruned.keys() == dense[1].keys()
    assert all(torch.equal(pruned[name], dense[1][name]) for name in pruned)
    require_same_in_transformers(smaller, pruned, tmp_path)
    with pytest.raises(ValueError, match="must be glm4_moe with shared experts"):
        keep_shared_experts(*dense)


@pytest.mark.parametrize("raw", [LLAMA, MOE], ids=["llama", "glm"])
@pytest.mark.parametrize("kept", [{"num_key_value_heads": 1}, {"heads_per_group": 1}])
def test_heads_go_and_transformers_agrees(raw: dict[str, Any], kept: dict[str, int], tmp_path: Path) -> None:
    config, tensors = make_checkpoint(raw)
    importance = head_importance(make_decoder(config, tensors), tensors, IDS)
    smaller, pruned = keep_heads(config, tensors, importance, **kept)

    assert smaller["num_attention_heads"] == 2
    assert smaller["num_key_value_heads"] == kept.get("num_key_value_heads", 2)
    require_same_in_transformers(smaller, pruned, tmp_path)


@pytest.mark.parametrize("kept", [{"num_key_value_heads": 1}, {"heads_per_group": 1}])
def test_heads_that_add_nothing_are_found_and_their_loss_is_not_felt(kept: dict[str, int]) -> None:
    config, tensors = make_checkpoint(LLAMA)
    idle = [0, 1] if "num_key_value_heads" in kept else [1, 2]
    for layer in range(2):
        output = tensors[f"model.layers.{layer}.self_attn.o_proj.weight"].unflatten(1, (4, 8))
        output[:, idle] = 0
    importance = head_importance(make_decoder(config, tensors), tensors, IDS)
    smaller, pruned = keep_heads(config, tensors, importance, **kept)

    assert (importance[0][idle] == 0).all()
    assert (our_logits(config, tensors, IDS) - our_logits(smaller, pruned, IDS)).abs().max() < 1e-5


def test_layers_go_and_transformers_agrees(tmp_path: Path) -> None:
    config, tensors = make_checkpoint({**MOE, "num_hidden_layers": 3, "first_k_dense_replace": 1})
    smaller, pruned = keep_layers(config, tensors, [0, 2])

    assert (smaller["num_hidden_layers"], smaller["first_k_dense_replace"]) == (2, 1)
    require_same_in_transformers(smaller, pruned, tmp_path)


def test_a_layer_that_adds_nothing_is_found_and_its_loss_is_not_felt() -> None:
    config, tensors = make_checkpoint({**LLAMA, "num_hidden_layers": 3})
    for part in ("self_attn.o_proj", "mlp.down_proj"):
        tensors[f"model.layers.1.{part}.weight"].zero_()
    decoder = make_decoder(config, tensors)
    before = token_logits(decoder, IDS)
    importance = layer_importance(decoder, IDS)
    smaller, pruned = keep_layers(config, tensors, [0, 2])

    assert min(importance, key=lambda i: importance[i]) == 1
    assert importance[1] == pytest.approx(0, abs=1e-6)
    assert torch.equal(token_logits(decoder, IDS), before)  # measuring leaves the decoder as it was
    assert (before - our_logits(smaller, pruned, IDS)).abs().max() < 1e-5


def test_bad_options_are_refused() -> None:
    config, tensors = make_checkpoint(LLAMA)
    importance = {i: torch.ones(4) for i in range(2)}

    with pytest.raises(ValueError, match="sparsity: must be 0 to under 1"):
        prune_weights(tensors, sparsity=1.0)
    with pytest.raises(ValueError, match="pattern: must be unstructured or 2:4"):
        prune_weights(tensors, pattern="4:8")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be 1 to 2 and 1 to 2"):
        keep_heads(config, tensors, importance, heads_per_group=3)
    with pytest.raises(ValueError, match="each of the 4 heads of layer 1"):
        keep_heads(config, tensors, {0: torch.ones(4)}, heads_per_group=1)
    with pytest.raises(ValueError, match="layers: must rise within 0 to 1"):
        keep_layers(config, tensors, [1, 0])
