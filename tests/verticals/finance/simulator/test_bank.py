"""The simulated bank: seeded, labelled, and with an order that no aggregate shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from verticals.finance.histories.vocabulary import Category, Channel, Kind
from verticals.finance.metrics import auc
from verticals.finance.simulator import SYNTHETIC_NOTE
from verticals.finance.simulator.bank import EVENT_COLUMNS, MONTHS, Bank, simulate, swap_pairs
from verticals.finance.simulator.people import STATE, identity
from verticals.finance.simulator.texts import write_text


@pytest.fixture(scope="module")
def bank() -> Bank:
    return simulate(600, seed=5)


def test_the_same_seed_gives_the_same_bank_and_another_seed_another(bank: Bank) -> None:
    again, other = simulate(600, seed=5), simulate(600, seed=6)

    pd.testing.assert_frame_equal(bank.events, again.events)
    assert (bank.default == again.default).all()
    assert bank.texts == again.texts
    assert not bank.events["amount_cents"].equals(other.events["amount_cents"])


def test_everything_says_that_it_is_synthetic(bank: Bank) -> None:
    assert bank.synthetic is True
    assert all(customer.startswith("sim-") for customer in bank.customers.index)
    assert "Synthetic" in SYNTHETIC_NOTE


def test_events_are_in_the_words_and_the_time_of_histories(bank: Bank) -> None:
    events, end = bank.events, int(bank.as_of.timestamp())

    assert tuple(events.columns) == EVENT_COLUMNS
    assert set(events["kind"]) == set(Kind) - {Kind.OTHER_INCOME}
    assert set(events["category"].dropna()) == set(Category)
    assert set(events["channel"].dropna()) <= set(Channel)
    assert events["at_s"].between(end - MONTHS * 30 * 86_400, end - 1).all()
    assert events["event_id"].is_unique
    assert (events["amount_cents"].dropna() > 0).all()
    assert (events.groupby("customer")["at_s"].diff().dropna() >= 0).all()


def test_swapping_the_pairs_moves_no_amount_and_no_time(bank: Bank) -> None:
    swapped = swap_pairs(bank)
    changed = bank.events["kind"] != swapped["kind"]

    assert changed.sum() == 2 * len(bank.pairs) > 1000
    assert set(bank.events["kind"][changed]) == {Kind.DRAW, Kind.REPAYMENT}
    pd.testing.assert_frame_equal(bank.events.drop(columns="kind"), swapped.drop(columns="kind"))
    counts = [e.groupby(["customer", "kind"])["amount_cents"].agg(["size", "sum"]) for e in (bank.events, swapped)]
    pd.testing.assert_frame_equal(*counts)


def test_defaults_follow_the_documented_process() -> None:
    bank = simulate(4000, seed=7)
    log_odds = bank.terms.sum(axis=1).to_numpy()
    prob = 1 / (1 + np.exp(-log_odds))

    assert bank.default.mean() == pytest.approx(prob.mean(), abs=0.02)
    assert 0.1 < bank.default.mean() < 0.25
    without = log_odds - bank.terms["order"].to_numpy()
    default = bank.default.astype(float)
    assert auc(default, log_odds) > auc(default, without) + 0.02
    assert (bank.terms.loc[~bank.customers["has_line"], "order"] == 0).all()


def test_only_the_text_knows_the_outlook(bank: Bank) -> None:
    said = pd.Series(bank.texts, index=bank.customers.index)
    worried = said.str.contains("ends in|will close|were cut|between two jobs|have left since")

    assert worried[bank.customers["outlook"] == "insecure"].mean() > 0.7
    assert not worried[bank.customers["outlook"] == "secure"].any()
    assert all(re.fullmatch(r"[A-Z][^{}]*[.]", text) for text in bank.texts)


def test_an_unknown_outlook_is_refused() -> None:
    with pytest.raises(ValueError, match="outlook: must be one of secure, neutral, insecure"):
        write_text("sunny", np.random.default_rng(0))


def test_an_empty_bank_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 and 3 are needed"):
        simulate(0, seed=1)


def test_an_identity_is_stable_adult_and_of_no_real_state() -> None:
    today = datetime(2026, 6, 30, tzinfo=UTC).date()
    people = [identity(f"sim-5-{i:06}", seed=5, today=today) for i in range(200)]

    assert people == [identity(f"sim-5-{i:06}", seed=5, today=today) for i in range(200)]
    assert {p.state for p in people} == {STATE}
    assert all(19.9 < (today - p.birth_date).days / 365.25 < 75 for p in people)
    assert all(p.issued < today < p.expires for p in people)
    assert all(re.fullmatch("[A-Z0-9]{9}", p.document_number) for p in people)
    assert len({p.document_number for p in people}) == 200
