"""Routing functions on hand-made scores: who is chosen, how much they count, and where gradients go."""

from __future__ import annotations

import pytest
import torch

from core_model.routing import (
    GroupScore,
    ScoringFunc,
    expert_scores,
    group_limited,
    group_scores,
    hierarchical,
    routing_weights,
    top_k,
)

# One token, two groups of three: the best expert is in the first, the two best together are in the second.
CHOICE = torch.tensor([[0.9, 0.1, 0.0, 0.6, 0.5, 0.2]])


def _chosen(choice_TE: torch.Tensor, k: int) -> set[int]:
    return set(top_k(choice_TE, k)[0].tolist())


def test_top_k_takes_the_best_of_all() -> None:
    assert _chosen(CHOICE, 2) == {0, 3}


@pytest.mark.parametrize(("by", "expected"), [("max", {0, 1}), ("top2_sum", {3, 4})])
def test_a_group_limit_keeps_the_best_group(by: GroupScore, expected: set[int]) -> None:
    assert _chosen(group_limited(CHOICE, num_groups=2, topk_group=1, by=by), 2) == expected


def test_all_groups_are_no_limit() -> None:
    assert torch.equal(group_limited(CHOICE, num_groups=2, topk_group=2, by="max"), CHOICE)


def test_hierarchical_routing_obeys_the_groups_own_score() -> None:
    limited = hierarchical(CHOICE, torch.tensor([[0.1, 0.7]]), topk_group=1)

    assert _chosen(limited, 2) == {3, 4}
    assert _chosen(hierarchical(CHOICE, group_scores(CHOICE, 2, by="max"), topk_group=1), 2) == {0, 1}


def test_each_token_has_its_own_groups() -> None:
    both = torch.cat((CHOICE, CHOICE.flip(-1)))

    limited = group_limited(both, num_groups=2, topk_group=1, by="max")

    assert limited.isfinite().tolist() == [[True] * 3 + [False] * 3, [False] * 3 + [True] * 3]


@pytest.mark.parametrize("scoring_func", ["softmax", "sigmoid"])
def test_normalised_weights_sum_to_the_scale(scoring_func: ScoringFunc) -> None:
    scores = expert_scores(torch.randn(5, 6, generator=torch.Generator().manual_seed(0)), scoring_func)

    weights = routing_weights(scores, top_k(scores, 3), normalize=True, scale=2.5)

    assert weights.sum(-1) == pytest.approx(2.5)


def test_normalised_softmax_weights_are_a_softmax_over_the_chosen() -> None:
    logits = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    chosen = top_k(logits, 2)

    weights = routing_weights(expert_scores(logits, "softmax"), chosen, normalize=True)

    assert torch.allclose(weights, logits.gather(1, chosen).softmax(-1))


def test_without_normalisation_the_score_is_the_weight() -> None:
    weights = routing_weights(CHOICE, torch.tensor([[4, 0]]), normalize=False, scale=2.0)

    assert weights.tolist() == [[pytest.approx(1.0), pytest.approx(1.8)]]


@pytest.mark.parametrize("by", ["max", "top2_sum"])
def test_gradients_reach_the_logits_of_the_chosen_only(by: GroupScore) -> None:
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    scores = expert_scores(logits, "sigmoid")
    chosen = top_k(group_limited(scores, num_groups=2, topk_group=1, by=by), 2)

    routing_weights(scores, chosen, normalize=False).sum().backward()

    assert logits.grad is not None
    assert torch.equal(logits.grad != 0, torch.zeros(4, 6, dtype=torch.bool).scatter(1, chosen, True))
