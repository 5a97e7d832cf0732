"""The policy: cut-offs that follow from stated costs, and a person in doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.finance.policy import POLICY, decide, describe
from verticals.finance.scaling import Scaling, prob_default


def prob_at(points: float) -> float:
    scaling = Scaling()
    return float(prob_default((scaling.offset - points) / scaling.factor))


def test_cut_offs_are_where_deciding_costs_as_much_as_a_review() -> None:
    approve_at, decline_below = POLICY.cut_offs(Scaling())

    assert POLICY.cost_bad_approved * prob_at(approve_at) <= POLICY.cost_review
    assert POLICY.cost_bad_approved * prob_at(approve_at - 1) > POLICY.cost_review
    assert POLICY.cost_good_declined * (1 - prob_at(decline_below - 1)) <= POLICY.cost_review
    assert POLICY.cost_good_declined * (1 - prob_at(decline_below + 1)) > POLICY.cost_review


def test_a_cheaper_review_widens_the_band_of_referral() -> None:
    approve_at, decline_below = POLICY.cut_offs(Scaling())
    cheaper = replace(POLICY, cost_review=0.25).cut_offs(Scaling())

    assert cheaper[0] > approve_at
    assert cheaper[1] < decline_below


@pytest.mark.parametrize(
    ("points", "decision"), [(551, "approve"), (550, "refer"), (487, "refer"), (486, "decline"), (-50, "decline")]
)
def test_points_decide(points: int, decision: str) -> None:
    assert decide(points, describe(POLICY, Scaling()), []) == decision


@given(st.integers(300, 700))
def test_any_doubt_leaves_the_decision_to_a_person(points: int) -> None:
    assert decide(points, describe(POLICY, Scaling()), ["Savings: not known"]) == "refer"
