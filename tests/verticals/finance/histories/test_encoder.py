"""The encoder reads order, time and amount; padding and other customers change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from verticals.finance.histories.encoder import EncoderConfig, EventEncoder, Histories, cut, read_histories
from verticals.finance.histories.events import event_table
from verticals.finance.simulator.bank import Bank, simulate, swap_pairs

SMALL = EncoderConfig(dim=16, num_layers=2, num_heads=2, max_events=160)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return simulate(24, seed=9)


@pytest.fixture(scope="module")
def histories(bank: Bank) -> Histories:
    return read_histories(bank.events, list(bank.customers.index))


def test_a_vector_does_not_depend_on_who_is_read_beside(bank: Bank, histories: Histories) -> None:
    encoder = EventEncoder(SMALL, seed=0)
    together = encoder.embed(histories)

    for i in (0, 11, 23):
        alone = encoder.embed(read_histories(bank.events, [histories.customers[i]]))
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)


def test_the_order_of_the_rows_of_the_table_does_not_matter(bank: Bank, histories: Histories) -> None:
    encoder = EventEncoder(SMALL, seed=0)
    shuffled = bank.events.sample(frac=1, random_state=0)

    assert (
        encoder.embed(read_histories(shuffled, list(histories.customers))).tobytes()
        == encoder.embed(histories).tobytes()
    )


def test_the_order_of_the_events_does_matter(bank: Bank, histories: Histories) -> None:
    encoder = EventEncoder(SMALL, seed=0)
    swapped = encoder.embed(read_histories(swap_pairs(bank), list(histories.customers)))
    apart = np.abs(swapped - encoder.embed(histories)).max(1)
    paired = bank.customers.index.isin(bank.pairs["customer"])

    assert (apart[paired] > 1e-4).all()
    assert (apart[~paired] == 0).all()


@pytest.mark.parametrize("column", ["at_s", "amount_cents"])
def test_time_and_amount_matter(bank: Bank, histories: Histories, column: str) -> None:
    encoder = EventEncoder(SMALL, seed=0)
    changed = bank.events.copy()
    salary = changed.index[changed["kind"] == "salary"][0]
    changed.loc[salary, column] = changed.loc[salary, column] // 2 if column == "amount_cents" else 1_700_000_000
    owner = changed.loc[salary, "customer"]

    apart = np.abs(encoder.embed(read_histories(changed, list(histories.customers))) - encoder.embed(histories)).max(1)

    assert [histories.customers[i] for i in np.flatnonzero(apart > 1e-5)] == [owner]


def test_who_has_no_event_has_no_vector(bank: Bank) -> None:
    encoder = EventEncoder(SMALL, seed=0)

    found = encoder.embed(read_histories(bank.events, ["nobody", bank.customers.index[0], "none"]))

    assert np.isnan(found).all(1).tolist() == [True, False, True]
    assert np.isnan(encoder.embed(read_histories(event_table([]), ["nobody"]))).all()


def test_only_the_newest_events_of_a_long_history_are_read(bank: Bank) -> None:
    customer = bank.customers.index[0]
    events = bank.events[bank.events["customer"] == customer]
    short = EventEncoder(EncoderConfig(dim=16, num_layers=1, num_heads=2, max_events=10), seed=0)
    whole, last = read_histories(events, [customer]), read_histories(events, [customer])

    batch = short.batch_of(whole, np.array([0]))

    assert batch.mask_BN.sum() == 10
    assert torch.equal(batch.words_BN3[0], last.words_E3[-10:])


def test_a_batch_is_padded_at_the_end_and_counts_days_back(histories: Histories) -> None:
    batch = cut(histories, histories.first[:2], histories.first[:2] + np.array([3, 5]))

    assert batch.mask_BN.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert batch.days_BN[0, 2] == 0
    assert batch.days_BN[1, 4] == 0
    assert (batch.days_BN >= 0).all()


def test_the_seed_decides_the_weights_and_leaves_other_randomness_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    one, two, other = (EventEncoder(SMALL, seed=seed).out.weight for seed in (1, 1, 2))

    assert torch.equal(torch.rand(4), expected)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
