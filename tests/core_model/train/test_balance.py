"""Balancing rules: losses at their known values, biases that even out a skewed router, capacities that hold."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core_model.train.balance import (
    NOBODY,
    assign,
    capacities,
    count_pairs,
    expert_choice,
    follow_load,
    sequence_loss,
    switch_loss,
    update_bias,
    z_loss,
)

T, E, K = 512, 8, 2


def skewed_scores(seed: int = 0) -> Tensor:
    """Sigmoid scores of a router that prefers the first experts."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(T, E, generator=generator) - torch.arange(E) * 0.3).sigmoid()


def test_the_switch_loss_is_one_when_even_and_largest_when_collapsed() -> None:
    even = torch.arange(T).remainder(E).unsqueeze(1)
    collapsed = torch.zeros(T, 1, dtype=torch.long)
    probs = torch.eye(E)[collapsed.flatten()]

    assert switch_loss(torch.full((T, E), 1 / E), even).item() == pytest.approx(1)
    assert switch_loss(probs, collapsed).item() == pytest.approx(E)


def test_the_gradient_of_the_switch_loss_evens_the_router() -> None:
    logits_TE = skewed_scores().log().requires_grad_()
    before = logits_TE.softmax(-1).mean(0)
    switch_loss(logits_TE.softmax(-1), logits_TE.topk(K).indices).backward()
    assert logits_TE.grad is not None

    after = (logits_TE - 2000 * logits_TE.grad).softmax(-1).mean(0)
    assert after.std() < before.std()


def test_the_sequence_loss_sees_an_imbalance_that_the_batch_hides() -> None:
    experts = torch.tensor([[0], [0], [1], [1]])  # each sequence of two uses one expert
    probs = torch.eye(2)[experts.flatten()]

    assert switch_loss(probs, experts).item() == pytest.approx(1)
    assert sequence_loss(probs, experts, sequence_length=2).item() == pytest.approx(2)


def test_the_sequence_loss_wants_whole_sequences() -> None:
    with pytest.raises(ValueError, match="must divide the 4 tokens"):
        sequence_loss(torch.ones(4, 2), torch.zeros(4, 1, dtype=torch.long), sequence_length=3)


def test_the_z_loss_is_the_squared_log_partition() -> None:
    assert z_loss(torch.zeros(3, E)).item() == pytest.approx(torch.tensor(E).log().square().item())


@pytest.mark.parametrize(("rule", "rate"), [("sign", 0.02), ("proportional", 0.1)])
def test_selection_bias_evens_a_skewed_router(rule: str, rate: float) -> None:
    scores, bias = skewed_scores(), torch.zeros(E)
    before = count_pairs(scores.topk(K).indices, E)

    for _ in range(100):
        bias = update_bias(bias, count_pairs((scores + bias).topk(K).indices, E), rate=rate, rule=rule)  # type: ignore[arg-type]

    after = count_pairs((scores + bias).topk(K).indices, E)
    assert before.max() / before.mean() > 2
    assert after.max() / after.mean() < 1.25
    assert bias.mean().item() == pytest.approx(0, abs=1e-6)


def test_the_bias_stays_within_its_bound() -> None:
    bias = update_bias(torch.zeros(2), torch.tensor([100.0, 0.0]), rate=5.0, max_abs=0.5)

    assert bias.tolist() == [-0.5, 0.5]


def test_bad_rules_and_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="rule: must be sign or proportional"):
        update_bias(torch.zeros(2), torch.ones(2), rate=1, rule="cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rate: must be above 0"):
        update_bias(torch.zeros(2), torch.ones(2), rate=0)


def test_capacity_that_follows_load_drops_fewer_pairs_in_the_same_room() -> None:
    choice = skewed_scores()
    load = follow_load(torch.full((E,), 1 / E), count_pairs(skewed_scores(1).topk(K).indices, E), decay=0)
    fixed = capacities(torch.full((E,), 1 / E), num_pairs=T * K, factor=1.25)
    following = capacities(load, num_pairs=T * K, factor=1.25)

    dropped = [
        int((assign(choice, num_experts_per_tok=K, capacity_E=c, reroute=False) == NOBODY).sum())
        for c in (fixed, following)
    ]
    assert following.sum() <= fixed.sum() * 1.05
    assert dropped[1] < dropped[0] / 2


@pytest.mark.parametrize("reroute", [False, True])
def test_no_expert_takes_more_than_its_capacity_and_no_token_an_expert_twice(reroute: bool) -> None:
    capacity = torch.tensor([10, 300, 20, 300, 5, 300, 0, 300])

    experts = assign(skewed_scores(), num_experts_per_tok=K, capacity_E=capacity, reroute=reroute)

    assert (count_pairs(experts, E) <= capacity).all()
    taken = experts[(experts != NOBODY).all(1)]
    assert (taken[:, 0] != taken[:, 1]).all()


def test_rerouting_fills_free_room_before_it_drops() -> None:
    even = capacities(torch.full((E,), 1 / E), num_pairs=T * K, factor=1.25)
    dropping = assign(skewed_scores(), num_experts_per_tok=K, capacity_E=even, reroute=False)
    rerouting = assign(skewed_scores(), num_experts_per_tok=K, capacity_E=even, reroute=True)

    assert (dropping == NOBODY).sum() > 100
    assert (rerouting == NOBODY).sum() == 0


def test_without_a_limit_assignment_is_top_k() -> None:
    scores = skewed_scores()
    experts = assign(scores, num_experts_per_tok=K, capacity_E=torch.full((E,), T), reroute=True)

    assert torch.equal(experts, scores.topk(K).indices)


def test_expert_choice_is_perfectly_balanced() -> None:
    taken = expert_choice(skewed_scores(), capacity=128)

    assert taken.sum(0).tolist() == [128] * E


def test_impossible_capacities_are_refused() -> None:
    with pytest.raises(ValueError, match="factor: must be above 0"):
        capacities(torch.ones(E) / E, num_pairs=8, factor=0)
