"""Expected loss by hand, and the properties that staging must have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.finance.validation.expected_loss import (
    CONSTANT_HAZARD,
    Exposure,
    TermStructure,
    balance,
    expected_loss,
    stage,
)

CREDIT = Exposure(
    prob_default_12m=0.02,
    prob_default_12m_at_origination=0.02,
    amount=1200.0,
    months_remaining=24,
    annual_rate=0.0,
    loss_given_default=0.5,
    days_past_due=0,
)


def test_two_months_by_hand() -> None:
    """PD of 12 months .19 is a monthly survival of .81^(1/12); 1,000 then 500 outstanding; 12 % a year; LGD .4."""
    credit = replace(CREDIT, prob_default_12m=0.19, prob_default_12m_at_origination=0.19, amount=1000.0)
    credit = replace(credit, months_remaining=2, loss_given_default=0.4, annual_rate=0.12)
    s, v = 0.81 ** (1 / 12), 1.12 ** (-1 / 12)
    rate = 1.12 ** (1 / 12) - 1
    second = 1000 * (1 + rate) - 1000 * rate / (1 - (1 + rate) ** -2)

    by_hand = 0.4 * ((1 - s) * 1000 * v + s * (1 - s) * second * v**2)
    assert expected_loss(credit).loss == pytest.approx(by_hand)


def test_the_first_twelve_months_give_the_probability_back() -> None:
    for factors in ((1.0,), (1.0, 0.5), (1.0, 2.0, 0.1)):
        assert TermStructure(year_factors=factors).lifetime(0.03, 12) == pytest.approx(0.03)


def test_a_constant_hazard_compounds_and_a_falling_one_gives_less() -> None:
    assert CONSTANT_HAZARD.lifetime(0.1, 36) == pytest.approx(1 - 0.9**3)
    assert TermStructure(year_factors=(1.0, 0.5)).lifetime(0.1, 24) == pytest.approx(1 - 0.9**1.5)


def test_an_instalment_credit_is_repaid_at_the_end_of_its_term() -> None:
    rate = 1.06 ** (1 / 12) - 1
    owed = balance(1000.0, 0.06, 12)
    instalment = owed[0] * (1 + rate) - owed[1]

    assert owed[0] == 1000
    assert owed[-1] * (1 + rate) == pytest.approx(instalment)
    assert (np.diff(owed) < 0).all()
    assert balance(1200.0, 0.0, 12).tolist() == pytest.approx([1200 - 100 * t for t in range(12)])


@pytest.mark.parametrize(
    ("change", "expected", "because"),
    [
        ({}, 1, "no significant"),
        ({"days_past_due": 29}, 1, "no significant"),
        ({"days_past_due": 30}, 2, "30 days past due"),
        ({"days_past_due": 90}, 3, "90 days past due"),
        ({"defaulted": True}, 3, "defaulted"),
        ({"prob_default_12m": 0.05}, 2, "at origination"),
        ({"prob_default_12m": 0.0021, "prob_default_12m_at_origination": 0.001}, 1, "no significant"),
        ({"prob_default_12m": 0.03}, 1, "no significant"),
    ],
)
def test_staging(change: dict[str, float], expected: int, because: str) -> None:
    found, why = stage(replace(CREDIT, **change))  # type: ignore[arg-type]

    assert found == expected
    assert because in why


def test_a_defaulted_credit_loses_lgd_of_all_that_is_owed() -> None:
    assert expected_loss(replace(CREDIT, defaulted=True)).loss == 600


@given(st.floats(0.0, 0.9), st.floats(0.0, 0.9), st.integers(1, 120), st.floats(0, 0.5))
def test_the_loss_is_bounded_and_the_lifetime_holds_the_year(p: float, then: float, months: int, rate: float) -> None:
    credit = replace(CREDIT, prob_default_12m=p, prob_default_12m_at_origination=then, months_remaining=months)
    found = expected_loss(replace(credit, annual_rate=rate))

    assert 0 <= found.loss_12m <= found.loss_lifetime + 1e-9
    assert found.loss_lifetime <= credit.amount * credit.loss_given_default
    assert found.loss == (found.loss_12m if found.stage == 1 else found.loss_lifetime)


@given(st.floats(0.0, 0.4), st.floats(0.01, 0.4))
def test_more_risk_never_loses_less(p: float, more: float) -> None:
    low, high = (replace(CREDIT, prob_default_12m=x) for x in (p, p + more))

    assert expected_loss(low).loss_lifetime <= expected_loss(high).loss_lifetime
    assert expected_loss(low).stage <= expected_loss(high).stage
