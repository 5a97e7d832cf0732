"""Training learns, balances as its strategy says, counts what it drops, and is repeatable."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core_model.expert_stats import describe_load
from core_model.train.language_model import LanguageModel, Strategy
from core_model.train.pretrain import Budget, HeldOut, TrainingLog, evaluate, pretrain
from tests.core_model.train.tiny_training import LLAMA, MOE, make_ids

BUDGET = Budget(steps=40, batch_size=8, sequence_length=48, learning_rate=1e-2)
GROUPED = {**MOE, "n_group": 4, "topk_group": 2}


def train(raw: dict[str, Any], strategy: Strategy, **changes: Any) -> tuple[TrainingLog, HeldOut]:
    torch.manual_seed(0)
    model = LanguageModel(raw, strategy)
    log = pretrain(model, make_ids(600), budget=Budget(**(vars(BUDGET) | changes)))
    return log, evaluate(model, make_ids(200, seed=1), window=48)


@pytest.mark.parametrize(
    ("raw", "strategy"),
    [
        (LLAMA, Strategy()),
        (MOE, Strategy(bias_rate=0.01)),
        (MOE, Strategy(scoring_func="softmax", aux_loss=0.01, z_loss=1e-3)),
        (GROUPED, Strategy(sequence_loss=0.01)),
        (GROUPED, Strategy(router="hierarchical", aux_loss=0.01)),
        (MOE, Strategy(capacity_factor=1.25, capacity="following", reroute=True)),
    ],
    ids=["dense", "bias", "aux loss", "groups", "hierarchical", "capacity"],
)
def test_every_strategy_learns(raw: dict[str, Any], strategy: Strategy) -> None:
    log, held_out = train(raw, strategy)

    assert held_out.loss < 2.0  # log 128 = 4.85 before training
    assert log.last_loss < 2.0


def test_selection_bias_balances_a_router_without_a_loss() -> None:
    plain, biased = train(MOE, Strategy())[0], train(MOE, Strategy(bias_rate=0.02))[0]

    assert sum(describe_load(c).cv for c in biased.counts.values()) < 0.6 * sum(
        describe_load(c).cv for c in plain.counts.values()
    )


def test_capacity_drops_pairs_and_following_load_drops_fewer() -> None:
    fixed = train(MOE, Strategy(capacity_factor=1.0))[0]
    following = train(MOE, Strategy(capacity_factor=1.0, capacity="following"))[0]
    rerouted = train(MOE, Strategy(capacity_factor=1.0, reroute=True))[0]

    assert fixed.dropped_share > following.dropped_share > 0
    assert rerouted.dropped_share < 0.01
    assert train(MOE, Strategy())[0].dropped_share == 0


def test_the_same_seed_gives_the_same_model() -> None:
    first, second, other = (train(MOE, Strategy(bias_rate=0.01), steps=3, seed=s)[1].loss for s in (0, 0, 1))

    assert first == second != other


def test_too_little_text_is_refused() -> None:
    model = LanguageModel(LLAMA)

    with pytest.raises(ValueError, match="more than sequence_length=48"):
        pretrain(model, [1] * 48, budget=BUDGET)
    with pytest.raises(ValueError, match="more than window=128"):
        evaluate(model, [1] * 128)
