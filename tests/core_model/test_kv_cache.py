"""The slot cache never leaks a slot and reuses only what truly matches."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from core_model.config import parse_config
from core_model.kv_cache import SlotCache
from tests.core_model.tiny import LLAMA


def make_cache(num_slots: int = 2) -> SlotCache:
    return SlotCache(
        parse_config(LLAMA), num_slots=num_slots, max_context=16, dtype=torch.float32, device=torch.device("cpu")
    )


def test_appended_keys_and_values_come_back_in_order() -> None:
    cache = make_cache()
    slot, _ = cache.allocate([1, 2])
    first, second = torch.randn(4, 3, 8), torch.randn(4, 1, 8)

    cache.append(1, slot, 0, first)
    stored = cache.append(1, slot, 3, second)

    assert torch.equal(stored, torch.cat((first, second), dim=1))


def test_a_shared_beginning_is_reused_and_the_last_token_is_not() -> None:
    cache = make_cache()
    slot, cached = cache.allocate([1, 2, 3])
    cache.free(slot, [1, 2, 3, 4])

    assert cached == 0
    assert cache.allocate([1, 2, 9]) == (slot, 2)


def test_the_same_prompt_again_still_computes_its_last_token() -> None:
    cache = make_cache()
    slot, _ = cache.allocate([1, 2, 3])
    cache.free(slot, [1, 2, 3])

    assert cache.allocate([1, 2, 3]) == (slot, 2)


def test_an_unrelated_prompt_takes_the_slot_that_holds_least() -> None:
    cache = make_cache()
    busy, _ = cache.allocate([1])
    cache.free(busy, [1, 2, 3])

    slot, cached = cache.allocate([7, 8])

    assert (slot != busy, cached) == (True, 0)


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 3), min_size=1, max_size=6)), max_size=30))
def test_slots_are_never_lost_or_lent_twice(moves: list[tuple[bool, list[int]]]) -> None:
    cache, lent = make_cache(3), {}
    for take, tokens in moves:
        if take and cache.num_free:
            slot, cached = cache.allocate(tokens)
            assert slot not in lent
            assert cached < len(tokens)
            lent[slot] = tokens
        elif lent:
            slot, held = lent.popitem()
            cache.free(slot, held)
        assert cache.num_free + len(lent) == 3
