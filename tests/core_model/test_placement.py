"""Expert placement: devices share a skewed load better than in checkpoint order, and nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.placement import place_in_order, plan_layers, plan_placement

SKEWED = [900, 400, 300, 200, 50, 50, 50, 50]  # neighbours are busy together, as domains make them


def test_packing_beats_checkpoint_order_and_copies_beat_packing() -> None:
    in_order = place_in_order(SKEWED, num_devices=4).max_over_mean
    packed = plan_placement(SKEWED, num_devices=4).max_over_mean
    copied = plan_placement(SKEWED, num_devices=4, num_spare_slots=4).max_over_mean

    assert (round(in_order, 2), round(packed, 2)) == (2.6, 1.9)
    assert round(copied, 2) == 1.15


@given(st.lists(st.integers(0, 1000), min_size=8, max_size=8), st.sampled_from([0, 4, 8]))
def test_every_expert_has_a_slot_and_no_load_is_lost(counts: list[int], num_spare_slots: int) -> None:
    placement = plan_placement(counts, num_devices=4, num_spare_slots=num_spare_slots)

    assert {expert for device in placement.experts_of_device for expert in device} == set(range(8))
    assert {len(device) for device in placement.experts_of_device} == {(8 + num_spare_slots) // 4}
    assert sum(placement.load_N) == pytest.approx(sum(counts))


def test_copies_of_one_expert_go_to_different_devices() -> None:
    placement = plan_placement([1000, 1, 1, 1], num_devices=2, num_spare_slots=2)

    assert all(0 in device for device in placement.experts_of_device)


def test_each_layer_gets_its_own_plan() -> None:
    plans = plan_layers({2: [9, 1, 1, 9], 1: [9, 9, 1, 1]}, num_devices=2)

    assert [plan.max_over_mean for plan in plans.values()] == [1, 1]
    assert plans[1] != plans[2]


def test_slots_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ValueError, match="num_devices: must divide the 9 slots"):
        plan_placement(SKEWED, num_devices=4, num_spare_slots=1)
    with pytest.raises(ValueError, match="num_devices: must divide the 8 experts"):
        place_in_order(SKEWED, num_devices=3)
    with pytest.raises(ValueError, match="num_spare_slots: must be 0 or more"):
        plan_placement(SKEWED, num_devices=4, num_spare_slots=-4)
