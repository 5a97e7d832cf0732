"""Rebalancing: a skewed router gets evener step by step, within bounds, and idle knowledge is not thrown away."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core_model.expert_stats import LoadStats, describe_layers
from core_model.rebalance import bias_name, rebalance
from core_model.train.language_model import LanguageModel
from core_model.train.pretrain import evaluate
from tests.core_model.train.tiny_training import MOE, make_ids


def skewed_model() -> LanguageModel:
    """A router that prefers some experts, as training without balancing leaves it."""
    torch.manual_seed(3)
    model = LanguageModel(MOE)
    with torch.no_grad():
        for layer in model.moe_layers().values():
            layer.gate.weight.normal_(0, 0.1)
            layer.gate.e_score_correction_bias.copy_(torch.linspace(-0.15, 0.15, 8))
    return model


def count(model: LanguageModel) -> dict[int, list[int]]:
    return evaluate(model, make_ids(100), window=32).counts


def busiest(load: dict[int, LoadStats]) -> float:
    return max(stats.max_over_mean for stats in load.values())


def test_some_steps_even_out_a_skewed_router() -> None:
    model = skewed_model()
    before = describe_layers(count(model))

    for _ in range(20):
        plan = rebalance(model.state_dict(), count(model), strength=0.02)
        model.load_state_dict(plan.biases, strict=False)

    after = describe_layers(count(model))
    assert busiest(before) > 2
    assert busiest(after) < 1.5
    assert all(after[i].entropy > before[i].entropy for i in after)


def test_one_step_is_bounded_and_changes_biases_only() -> None:
    model = skewed_model()
    tensors: dict[str, Tensor] = model.state_dict()
    plan = rebalance(tensors, {0: [1000, 0, 0, 0, 0, 0, 0, 0]}, strength=10, max_change=0.03)

    assert list(plan.biases) == [bias_name(0)]
    change = plan.biases[bias_name(0)] - tensors[bias_name(0)]
    assert change.abs().max() <= 0.03 + 1e-6
    assert change[0] < 0 < change[1]


def test_a_layer_without_a_bias_or_without_tokens_gets_a_placement_only() -> None:
    model = skewed_model()

    assert rebalance({}, {0: [5, 1, 1, 5]}, num_devices=2).biases == {}
    assert rebalance(model.state_dict(), {0: [0] * 8}).biases == {}


def test_the_placement_balances_devices_without_touching_answers() -> None:
    plan = rebalance({}, {0: [90, 80, 10, 10, 5, 5, 5, 5]}, num_devices=2)

    assert plan.placements[0].max_over_mean < 1.1
    assert plan.load[0].max_over_mean == pytest.approx(90 * 8 / 210)


def test_counts_of_another_model_and_bad_bounds_are_refused() -> None:
    tensors = skewed_model().state_dict()

    with pytest.raises(ValueError, match="layer 0 has 8 experts"):
        rebalance(tensors, {0: [1, 2, 3]})
    with pytest.raises(ValueError, match="must be above 0"):
        rebalance(tensors, {0: [1] * 8}, strength=0)
