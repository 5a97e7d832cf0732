"""The experts of late: windows of counts, a reference that stays, drift that knows how tokens resemble each other."""

from __future__ import annotations

import json

import numpy as np
import pytest

from service.operations.experts import MIN_LOOKS, ExpertWatch

E = 8
EVEN = np.full(E, 1 / E)
TILTED = np.array([2, 2, 2, 1, 1, 1, 0.5, 0.5]) / 10


class Core:
    """A router that spreads so many tokens a look over its experts, a text at a time."""

    def __init__(self, seed: int = 0) -> None:
        self.rng, self.total = np.random.default_rng(seed), np.zeros(E, np.int64)

    def run(self, watch: ExpertWatch, share: np.ndarray, *, looks: int, alike: float = 0.05) -> None:
        for _ in range(looks):
            self.total += self.rng.multinomial(1000, self.rng.dirichlet(share / alike))
            watch.look({1: self.total.tolist()}, version="m", num_experts_per_tok=1)


def figure(watch: ExpertWatch, name: str) -> float | None:
    return {signal.name: signal.value for signal in watch.signals(num_experts_per_tok=1)}.get(name)


def test_figures_are_of_late_and_not_since_the_start() -> None:
    core, watch = Core(), ExpertWatch()
    core.run(watch, EVEN, looks=40)
    assert figure(watch, "expert_dead_share") == 0

    one = np.full(E, 1e-9)
    one[0] = 1
    core.run(watch, one, looks=20)

    assert figure(watch, "expert_dead_share") == pytest.approx(7 / 8)
    assert figure(watch, "expert_utilisation_sd") == pytest.approx(0.33, abs=0.01)


def test_the_same_routing_is_no_drift_and_another_is() -> None:
    core, watch = Core(), ExpertWatch()
    core.run(watch, EVEN, looks=21)
    assert watch.reference is not None

    core.run(watch, EVEN, looks=20)
    steady = figure(watch, "routing_drift")
    core.run(watch, TILTED, looks=20)

    assert steady == 0
    assert figure(watch, "routing_drift") > 0.01  # type: ignore[operator]


def test_few_looks_are_not_compared() -> None:
    core, watch = Core(), ExpertWatch()
    core.run(watch, EVEN, looks=21 + MIN_LOOKS - 1)

    assert watch.reference is not None
    assert figure(watch, "routing_drift") is None


def test_a_restart_goes_on_with_the_reference_though_counts_begin_anew() -> None:
    core, watch = Core(), ExpertWatch()
    core.run(watch, EVEN, looks=21)
    kept = json.loads(json.dumps(watch.reference))

    again = ExpertWatch(kept)
    Core(seed=1).run(again, TILTED, looks=21)

    assert again.reference == kept
    assert figure(again, "routing_drift") > 0.01  # type: ignore[operator]


def test_another_model_version_has_a_reference_of_its_own() -> None:
    core, watch = Core(), ExpertWatch()
    core.run(watch, EVEN, looks=21)

    watch.look({1: [0] * E}, version="m2", num_experts_per_tok=1)

    assert watch.reference is None
    assert watch.signals(num_experts_per_tok=1) == []


def test_a_quiet_core_keeps_its_last_window() -> None:
    core, watch = Core(), ExpertWatch()
    core.run(watch, TILTED, looks=50)
    before = watch.signals(num_experts_per_tok=1)

    for _ in range(50):
        watch.look({1: core.total.tolist()}, version="m", num_experts_per_tok=1)

    assert watch.signals(num_experts_per_tok=1) == before
