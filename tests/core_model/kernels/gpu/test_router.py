"""The router's kernel chooses as `core_model/routing.py` does, and every pair comes into one tile of its expert."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from core_model.config import parse_config
from core_model.moe import Router
from core_model.weights import Weights
from tests.core_model.tiny_experts import DEEPSEEK

pytest.importorskip("triton", reason="needs the extra `cuda`")

from core_model.kernels.gpu.router import choose_experts, sort_pairs

ROUTERS: list[dict[str, Any]] = [
    {"topk_method": "greedy", "scoring_func": "softmax", "norm_topk_prob": False},
    {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2, "norm_topk_prob": True},
    {"topk_method": "noaux_tc", "scoring_func": "sigmoid", "n_group": 4, "topk_group": 3, "norm_topk_prob": True},
    {"topk_method": "noaux_tc", "scoring_func": "sigmoid", "n_routed_experts": 5, "num_experts_per_tok": 3},
]


@pytest.mark.parametrize("changes", ROUTERS)
def test_it_chooses_as_the_router_does(device: torch.device, changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = replace(parse_config(DEEPSEEK), **{"n_group": 1, "topk_group": 1, "n_routed_experts": 12, **changes})
    weight_ED = torch.randn(config.n_routed_experts, 48)
    bias_E = torch.randn(config.n_routed_experts) * 0.3
    tensors = {"gate.weight": weight_ED, "gate.e_score_correction_bias": bias_E}
    router = Router(config, Weights(tensors, precision="fp32", device=device), "gate")
    x_TD = torch.randn(7, 48, device=device)

    weights, experts = choose_experts(router.logits(x_TD), router.correction_E, config)

    expected_weights, expected_experts = router(x_TD)
    blank = torch.zeros(7, config.n_routed_experts, device=device)
    chosen = blank.scatter(1, experts.long(), weights)
    torch.testing.assert_close(chosen, blank.scatter(1, expected_experts, expected_weights))


def test_shared_experts_follow_with_weight_one(device: torch.device) -> None:
    config = replace(parse_config(DEEPSEEK), topk_method="greedy")
    logits = torch.randn(2, config.n_routed_experts, device=device)

    weights, experts = choose_experts(logits, None, config, num_shared=2)

    k, num = config.num_experts_per_tok, config.n_routed_experts
    assert experts[:, k:].tolist() == [[num, num + 1]] * 2
    assert weights[:, k:].tolist() == [[1.0, 1.0]] * 2
    torch.testing.assert_close(weights[:, :k], choose_experts(logits, None, config)[0])


@pytest.mark.parametrize("num_tokens", [1, 90])
def test_every_pair_is_in_one_tile_of_its_expert(device: torch.device, num_tokens: int) -> None:
    torch.manual_seed(0)
    num_experts, k, rows = 6, 2, 16
    experts = torch.stack([torch.randperm(num_experts + 2)[:k] - 1 for _ in range(num_tokens)]).int().to(device)
    counts = torch.zeros(num_experts, dtype=torch.int64, device=device)
    few = torch.tensor(min(num_tokens, 50), dtype=torch.int32, device=device)

    tiles = sort_pairs(experts, num_experts=num_experts, rows=rows, counts_E=counts, num_tokens=few)

    used = [tile for tile in tiles.tile_N3.tolist() if tile[0] >= 0]
    seen = [(expert, int(tiles.pair_P[row])) for expert, first, end in used for row in range(first, end)]
    here = [(int(e), i) for i, e in enumerate(experts.flatten()) if 0 <= e < num_experts]
    assert sorted(seen) == sorted(here)
    assert len(used) == sum(-(-sum(e == expert for e, _ in here) // rows) for expert in range(num_experts))
    assert sorted(tiles.pair_P.tolist()) == list(range(num_tokens * k))
    first = experts[: int(few)].flatten()
    assert counts.tolist() == [int((first == expert).sum()) for expert in range(num_experts)]
