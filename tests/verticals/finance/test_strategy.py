"""Strategy: by hand on six applicants, by bootstrap on many, and as an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from verticals.bootstrap import bootstrap_interval
from verticals.contract import Context, Handler, InvalidInput, NotFound
from verticals.finance import policy_schemas as s
from verticals.finance import strategy

SIX = strategy.outcomes(
    np.array([480.0, 500, 520, 540, 560, 580]),
    np.array([1.0, 1, 0, 1, 0, 0]),
    np.array([100.0, 200, 300, 400, 500, 600]),
    loss_given_default=0.5,
    margin=0.1,
)


@pytest.fixture
def simulate(handlers: Mapping[str, Handler], context: Context) -> Callable[..., Any]:
    return lambda **request: handlers["simulate"](s.SimulateRequest.model_validate(request), context)


def test_six_applicants_by_hand() -> None:
    at_540 = next(c for c in strategy.curve(SIX) if c.approve_at == 540)

    assert at_540.approval_rate.value == 0.5
    assert at_540.default_rate.value == pytest.approx(1 / 3)
    assert at_540.loss.value == pytest.approx(200 / 6)  # half of 400
    assert at_540.profit.value == pytest.approx((50 + 60 - 200) / 6)


def test_the_swap_set_by_hand() -> None:
    current = np.array(["decline", "refer", "refer", "approve", "approve", "approve"], dtype=object)
    proposed = np.array(["decline", "decline", "approve", "refer", "approve", "approve"], dtype=object)
    swapped_in = strategy.swap_set(SIX, (proposed == "approve") & (current != "approve"))
    change = strategy.profit_change(SIX, current, proposed)

    assert (swapped_in.count, swapped_in.default_rate.value, swapped_in.profit.value) == (1, 0, 30)
    assert change.value == pytest.approx((30 + 200) / 6)
    cells = {(c.current, c.proposed): c.count for c in strategy.migration(SIX, current, proposed)}
    assert cells == {
        ("approve", "approve"): 2, ("approve", "refer"): 1, ("refer", "approve"): 1, ("refer", "decline"): 1,
        ("decline", "decline"): 1,
    }  # fmt: skip


def test_the_curve_covers_everyone_to_no_one_and_falls() -> None:
    points = strategy.curve(SIX, extra=(531,))
    rates = [c.approval_rate.value for c in points]

    assert (rates[0], rates[-1]) == (1, 0)
    assert rates == sorted(rates, reverse=True)  # type: ignore[type-var]
    assert points[-1].default_rate.value is None
    assert 531 in {c.approve_at for c in points}


def test_the_intervals_are_those_of_a_bootstrap_over_applicants() -> None:
    rng = np.random.default_rng(1)
    points, default = rng.normal(540, 40, 2000), (rng.random(2000) < 0.2).astype(float)
    sample = strategy.outcomes(points, default, rng.lognormal(8, 0.5, 2000), loss_given_default=0.45, margin=0.09)
    found = next(c for c in strategy.curve(sample) if c.approve_at == 550).profit
    low, high = bootstrap_interval((sample.points >= 550) * sample.profit, draws=2000)

    assert (found.low, found.high) == (pytest.approx(low, rel=0.1, abs=5), pytest.approx(high, rel=0.1, abs=5))


def test_the_active_policy_against_itself_swaps_nobody(simulate: Callable[..., Any]) -> None:
    found = simulate(approve_at=551, decline_below=487)

    assert (found.swap_in.count, found.swap_out.count) == (0, 0)
    assert found.profit_change.value == 0
    assert found.current.shares == found.proposed.shares
    assert found.n == 1000


def test_a_lower_cut_off_swaps_in_riskier_applicants(simulate: Callable[..., Any]) -> None:
    found = simulate(approve_at=520)

    assert found.swap_out.count == 0
    assert found.swap_in.count > 100
    assert found.swap_in.default_rate.value > found.current.default_rate.value
    assert sum(c.count for c in found.migration) == 1000
    gain = found.proposed.profit.value - found.current.profit.value
    assert found.profit_change.value == pytest.approx(gain)
    assert {551, 520} <= {c.approve_at for c in found.curve}


def test_the_shares_are_those_of_the_served_distribution(
    simulate: Callable[..., Any], handlers: Mapping[str, Handler], context: Context
) -> None:
    from verticals.finance.schemas import DistributionRequest

    bands: Any = handlers["distribution"](DistributionRequest(), context)
    assert simulate(approve_at=551).current.shares == {b.decision: b.share for b in bands.bands}


def test_the_callers_own_sample_is_simulated(simulate: Callable[..., Any]) -> None:
    sample = {"points": [480, 500, 520, 540, 560, 580], "default": [1, 1, 0, 1, 0, 0]}
    found = simulate(approve_at=540, decline_below=500, sample=sample, loss_given_default=0.5, margin=0.1)

    assert found.n == 6
    assert found.proposed.shares == {"approve": 0.5, "refer": pytest.approx(1 / 3), "decline": pytest.approx(1 / 6)}
    assert found.proposed.profit.value == pytest.approx((0.1 + 0.1 - 0.5) / 6)


def test_a_stored_version_is_simulated_with_its_overrides(
    simulate: Callable[..., Any], handlers: Mapping[str, Handler], context: Context
) -> None:
    from tests.verticals.finance.test_policies import draft, override

    no_cars = override(values=["car_new", "car_used"])
    handlers["store_policy"](draft(version="x", approve_at=551, decline_below=487, overrides=[no_cars]), context)
    found = simulate(version="x")

    assert found.swap_in.count == 0
    assert found.swap_out.count > 0
    assert found.proposed.shares["decline"] > found.current.shares["decline"]


@pytest.mark.parametrize(
    ("request_", "error", "told"),
    [
        ({}, InvalidInput, "either a stored version or cut-offs"),
        ({"version": "x", "approve_at": 1}, InvalidInput, "either a stored version or cut-offs"),
        ({"version": "x"}, NotFound, "no such policy"),
        ({"approve_at": 480}, InvalidInput, r"must be at least decline_below \(487\)"),
        ({"approve_at": 500, "sample": {"points": [1, 2, 3], "default": [0, 1]}}, InvalidInput, "one length"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    simulate: Callable[..., Any], request_: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        simulate(**request_)


def test_an_outcome_is_zero_or_one() -> None:
    with pytest.raises(ValidationError, match="default"):
        s.SimulatedSample.model_validate({"points": [1, 2], "default": [0, 0.5]})
