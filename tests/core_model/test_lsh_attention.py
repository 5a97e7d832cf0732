"""Hashed attention: exact where it sees everything, causal always, and closer to exact with more rounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core_model.attention import attend
from core_model.config import LSH, parse_config
from core_model.lsh_attention import attend_lsh
from core_model.model import Decoder, Segment
from core_model.weights import Weights
from tests.core_model.tiny import LLAMA, random_llama

SMALL = LSH(chunk=8, rounds=2, sinks=2, num_buckets=4)


def _inputs(num_tokens: int = 100) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(num_tokens, 4, 16, generator=generator)
    k, v = torch.randn(2, 2, num_tokens, 16, generator=generator)
    return q, k * 2, v


@pytest.mark.parametrize("lsh", [LSH(chunk=50, rounds=0), LSH(chunk=50, rounds=3), LSH(chunk=64, rounds=1, sinks=0)])
def test_it_is_exact_where_two_chunks_are_all_there_is(lsh: LSH) -> None:
    q, k, v = _inputs()

    assert torch.allclose(attend_lsh(q, k, v, lsh=lsh), attend(q, k, v, mask_NS=None), atol=1e-5)


def test_pairs_that_several_rounds_see_count_once() -> None:
    """With one pair of buckets and rounds enough, everything has been seen, most of it many times."""
    q, k, v = _inputs(40)

    found = attend_lsh(q, k, v, lsh=LSH(chunk=10, rounds=60, sinks=2, num_buckets=8))

    assert torch.allclose(found, attend(q, k, v, mask_NS=None), atol=1e-5)


def test_no_token_sees_a_later_one() -> None:
    q, k, v = _inputs()
    local = replace(SMALL, rounds=0)
    before = attend_lsh(q, k, v, lsh=local)
    k[:, 60:], v[:, 60:] = 9.0, 9.0

    after = attend_lsh(q, k, v, lsh=local)

    assert torch.equal(after[:60], before[:60])
    assert not torch.equal(after[60:], before[60:])


def test_values_of_later_tokens_never_leak_through_a_hash() -> None:
    q, k, v = _inputs()
    before = attend_lsh(q, k, v, lsh=SMALL)
    v[:, 60:] += 9.0

    assert torch.equal(attend_lsh(q, k, v, lsh=SMALL)[:60], before[:60])


def test_more_rounds_come_closer_to_full_attention() -> None:
    q, k, v = _inputs(200)
    exact = attend(q, k, v, mask_NS=None)

    errors = [float((attend_lsh(q, k, v, lsh=replace(SMALL, rounds=n)) - exact).norm()) for n in (0, 4, 16)]

    assert errors[0] > errors[1] > errors[2]


def test_a_decoder_takes_it_as_an_option_for_long_prompts_only() -> None:
    config, weights = parse_config(LLAMA), Weights(random_llama(), precision="fp32")
    full, hashed = Decoder(config, weights), Decoder(replace(config, lsh=SMALL), weights)
    ids = torch.arange(100)

    assert torch.equal(hashed(ids[:16], [Segment(16)]), full(ids[:16], [Segment(16)]))
    assert not torch.equal(hashed(ids, [Segment(100)]), full(ids, [Segment(100)]))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"chunk": 0}, "chunk must be 1 or more"), ({"num_buckets": 3}, "num_buckets: must be even")],
)
def test_sizes_that_make_no_sense_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LSH(**options)
