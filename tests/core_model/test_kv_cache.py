"""The paged cache gives back what was put in, wherever its pages lie, and reuses only what truly matches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.config import parse_config
from core_model.kv_cache import PagedCache
from core_model.pages import root_hash
from tests.core_model.tiny import LLAMA

NUM_LAYERS = LLAMA["num_hidden_layers"]


def make_cache(num_pages: int = 4, **options: Any) -> PagedCache:
    return PagedCache(
        parse_config(LLAMA),
        num_pages=num_pages,
        page_size=4,
        dtype=torch.float32,
        device=torch.device("cpu"),
        **options,
    )


def begin(cache: PagedCache, token_ids: list[int], **options: Any) -> tuple[int, int]:
    begun = cache.begin(token_ids, **options)
    assert begun is not None
    return begun


def entries(token_ids: list[int], layer_idx: int) -> Tensor:
    """Recognisable entries (W, N, R) of these tokens."""
    generator = torch.Generator()
    columns = [torch.randn(4, 8, generator=generator.manual_seed(1000 * layer_idx + t)) for t in token_ids]
    return torch.stack(columns, dim=1)


def fill(cache: PagedCache, token_ids: list[int], **options: Any) -> tuple[int, int]:
    """Begin and compute all of a request's tokens."""
    slot, start = begin(cache, token_ids, **options)
    for layer_idx in range(NUM_LAYERS):
        cache.append(layer_idx, slot, start, entries(token_ids[start:], layer_idx))
    return slot, start


def stored(cache: PagedCache, slot: int, num_tokens: int, layer_idx: int) -> Tensor:
    return cache.append(layer_idx, slot, num_tokens, torch.empty(4, 0, 8))


def test_appended_entries_come_back_in_order() -> None:
    cache = make_cache()
    slot, _ = begin(cache, [1, 2, 3, 4, 5, 6])
    first, second = torch.randn(4, 3, 8), torch.randn(4, 3, 8)

    cache.append(1, slot, 0, first)
    found = cache.append(1, slot, 3, second)

    assert torch.equal(found, torch.cat((first, second), dim=1))


@pytest.mark.parametrize("other", [[1, 2, 3, 4, 5, 9], [1, 2, 3, 9, 9, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9]])
@pytest.mark.parametrize("is_running", [False, True])
def test_a_shared_beginning_is_reused_to_the_token(other: list[int], is_running: bool) -> None:
    cache = make_cache(num_pages=8)
    first = [1, 2, 3, 4, 5, 6, 7]
    slot, _ = fill(cache, first)
    if is_running:
        cache.publish(slot, first)
    else:
        cache.end(slot, first)

    slot, cached = fill(cache, other)

    common = next((i for i, (a, b) in enumerate(zip(first, other, strict=False)) if a != b), 7)
    assert cached == (min(common, 4) if is_running else common)  # a page that is being filled is not shared yet
    for layer_idx in range(NUM_LAYERS):
        assert torch.equal(stored(cache, slot, len(other), layer_idx), entries(other, layer_idx))


def test_the_same_prompt_again_still_computes_its_last_token() -> None:
    cache = make_cache()
    for prompt in ([1, 2, 3], [1, 2, 3, 4]):
        slot, _ = fill(cache, prompt)
        cache.end(slot, prompt)

        slot, cached = begin(cache, prompt)
        cache.end(slot, prompt)

        assert cached == len(prompt) - 1


def test_a_request_that_reuses_a_page_never_changes_it() -> None:
    cache = make_cache(num_pages=8)
    first = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    slot, _ = fill(cache, first)
    cache.publish(slot, first)

    fill(cache, [1, 2, 3, 4, 5, 77, 78, 79])
    fill(cache, [1, 2, 3, 4, 5, 6, 7, 8, 77])

    assert torch.equal(stored(cache, slot, len(first), 0), entries(first, 0))


def test_too_few_pages_change_nothing() -> None:
    cache = make_cache(num_pages=4)
    slot, _ = fill(cache, [1, 2, 3, 4, 5])
    before = cache.stats()

    assert cache.begin(list(range(10, 19))) is None
    assert not cache.reserve(slot, 17)
    assert cache.stats() == before
    assert cache.reserve(slot, 16)


def test_pages_apart_read_as_one() -> None:
    cache = make_cache(num_pages=4)
    a, _ = fill(cache, [1, 2, 3, 4])
    fill(cache, [11, 12, 13, 14])
    tokens = [1, 2, 3, 4]
    for token in range(20, 28):  # grows around the other
        assert cache.reserve(a, len(tokens) + 1)
        for layer_idx in range(NUM_LAYERS):
            cache.append(layer_idx, a, len(tokens), entries([token], layer_idx))
        tokens.append(token)

    assert torch.equal(stored(cache, a, 12, 1), entries(tokens, 1))
    assert stored(cache, a, 4, 1).data_ptr() != stored(cache, a, 12, 1).data_ptr()  # the second had to be gathered


def test_a_request_with_room_to_grow_is_read_without_a_copy() -> None:
    cache = make_cache(num_pages=8)
    slots = [fill(cache, [10 * i + 1, 10 * i + 2], num_expected=16)[0] for i in range(2)]
    for slot in slots:
        assert cache.reserve(slot, 16)

    for slot in slots:
        assert stored(cache, slot, 16, 0).data_ptr() == stored(cache, slot, 1, 0).data_ptr()


def test_the_least_recently_used_pages_are_evicted_first() -> None:
    cache = make_cache(num_pages=4)
    for prompt in ([1, 2, 3, 4], [11, 12, 13, 14], [21, 22, 23, 24]):
        cache.end(fill(cache, prompt)[0], prompt)
    cache.end(begin(cache, [1, 2, 3, 4, 5])[0], [1, 2, 3, 4])  # used again

    fill(cache, [31, 32, 33, 34, 35, 36, 37, 38])

    assert begin(cache, [1, 2, 3, 4, 5])[1] == 4
    assert cache.begin([11, 12, 13, 14, 15]) is None  # that would need two pages, for it was evicted


@pytest.mark.parametrize("precision", ["same", "int8", "fp8"])
def test_an_evicted_page_comes_back_from_main_memory(precision: Any) -> None:
    cache = make_cache(num_pages=2, precision=precision, host_bytes=100_000)
    prompt, other = [1, 2, 3, 4, 5], [11, 12, 13, 14, 15, 16, 17, 18]
    slot, _ = fill(cache, prompt)
    before = stored(cache, slot, 4, 1).clone()
    cache.end(slot, prompt)
    cache.end(fill(cache, other)[0], other)
    kept = cache.stats().host_pages

    slot, cached = begin(cache, prompt)

    assert (kept, cached) == (1, 4)
    assert torch.equal(stored(cache, slot, 4, 1), before)


def test_main_memory_is_bounded() -> None:
    page_bytes = NUM_LAYERS * 4 * 4 * 8 * 4
    cache = make_cache(num_pages=2, host_bytes=3 * page_bytes + 1)
    for i in range(8):
        prompt = list(range(10 * i, 10 * i + 8))
        cache.end(fill(cache, prompt)[0], prompt)

    assert cache.stats().host_pages == 3


def test_different_roots_never_share() -> None:
    roots = [root_hash(*parts) for parts in (("v1", None, ""), ("v2", None, ""), ("v1", "a", ""), ("v1", None, "a"))]
    cache = make_cache(num_pages=16, host_bytes=100_000)
    prompt = [1, 2, 3, 4, 5, 6]

    hits = []
    for root in [*roots, *roots]:
        slot, cached = fill(cache, prompt, root=root)
        cache.end(slot, prompt)
        hits.append(cached)

    assert hits == [0, 0, 0, 0, 5, 5, 5, 5]


@pytest.mark.parametrize(("precision", "largest_error"), [("int8", 0.5 / 127), ("fp8", 2**-4)])
def test_eight_bits_are_close_and_smaller(precision: Any, largest_error: float) -> None:
    cache = make_cache(precision=precision)
    new = torch.randn(4, 8, 8) * torch.logspace(-3, 3, 8)[None, :, None]  # tokens of very different size
    slot, _ = begin(cache, list(range(8)))

    found = cache.append(0, slot, 0, new)

    error = (found - new).abs() / new.abs().amax(-1, keepdim=True)
    assert 0 < error.max() <= largest_error * 1.001


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kv_precision: must be one of same, fp16, int8, fp8 \(got 'int4'\)"):
        make_cache(precision="int4")


@pytest.mark.parametrize("precision", ["same", "int8", "fp8"])
def test_what_a_context_shows_behind_the_new_entries_is_finite(precision: Any) -> None:
    cache = make_cache(num_pages=3, precision=precision)
    earlier, _ = begin(cache, list(range(12)))
    cache.append(0, earlier, 0, torch.full((4, 12, 8), torch.nan))
    cache.end(earlier, [])
    slot, _ = begin(cache, [1, 2, 3, 4, 5, 6])
    new = torch.randn(4, 6, 8)

    found = cache.append(0, slot, 0, new, context=8)

    assert torch.allclose(found[:, :6], new, atol=0.1)
    assert found.shape == (4, 8, 8)
    assert not found[:, 6:].any()
