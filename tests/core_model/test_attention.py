"""What new tokens see: everything before them, a window, or a window and the first tokens; with and without a cache."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core_model.attention import View, attend, attend_apart, attend_with_sinks, view
from core_model.config import ModelConfig, parse_config
from core_model.model import Decoder, Segment
from core_model.weights import Weights
from tests.core_model.tiny import LLAMA, open_cache, random_llama

CPU = torch.device("cpu")


def _seen(segment: Segment, *, window: int = 0, num_sinks: int = 0) -> list[list[int]]:
    """The positions that each new token sees."""
    visible = view(segment, window=window, num_sinks=num_sinks, dtype=torch.float32, device=CPU)
    end = segment.start + segment.num_tokens
    position_S = visible.of(torch.arange(end).view(1, -1, 1)).flatten()
    mask = visible.mask_NS
    if mask is None:  # one token sees all that is left, a whole sequence is causal
        mask = torch.ones(segment.num_tokens, len(position_S), dtype=torch.bool)
        mask = mask if segment.num_tokens == 1 else mask.tril()
    return [position_S[row].tolist() for row in mask]


@pytest.mark.parametrize("window", [0, 1, 3, 20])
@pytest.mark.parametrize("num_sinks", [0, 2])
@pytest.mark.parametrize(
    "segment", [Segment(9), Segment(1, 8), Segment(4, 5), Segment(1, 1), Segment(2, 1), Segment(1)]
)
def test_a_token_sees_the_window_and_the_first_tokens(segment: Segment, window: int, num_sinks: int) -> None:
    expected = [
        [k for k in range(q + 1) if not window or q - k < window or k < num_sinks]
        for q in range(segment.start, segment.start + segment.num_tokens)
    ]

    assert _seen(segment, window=window, num_sinks=num_sinks) == expected


def test_full_attention_needs_no_mask_and_no_copy() -> None:
    entries = torch.randn(2, 9, 4)

    assert view(Segment(9), window=0, num_sinks=0, dtype=torch.float32, device=CPU) == View()
    assert view(Segment(1, 8), window=0, num_sinks=4, dtype=torch.float32, device=CPU).of(entries) is entries


def _states(config: ModelConfig, tensors: dict[str, Tensor], spans: list[int]) -> Tensor:
    decoder = Decoder(config, Weights(tensors, precision="fp32"))
    cache = open_cache(config, num_slots=1, max_context=64)
    ids, start, parts = torch.arange(40), 0, []
    for length in spans:
        parts.append(decoder(ids[start : start + length], [Segment(length, start)], cache))
        start += length
    return torch.cat(parts)


@pytest.mark.parametrize("spans", [[1] * 40, [20, 12, 1, 1, 6], [7] * 5 + [5]])
def test_a_window_gives_the_same_in_pieces_as_at_once(spans: list[int]) -> None:
    config, tensors = parse_config(LLAMA).with_window(6, sinks=2), random_llama()

    assert torch.allclose(_states(config, tensors, spans), _states(config, tensors, [40]), atol=1e-5)


def test_tokens_that_attend_apart_have_the_bits_that_each_has_alone() -> None:
    q_NHR, (k_MSR, v_MSR) = torch.randn(5, 4, 8), torch.randn(2, 2, 32, 8)
    hidden_N11S = view(Segment(5, 20, context=32), window=0, num_sinks=0, dtype=torch.float32, device=CPU).hidden_N11S
    assert hidden_N11S is not None

    together = attend_apart(q_NHR, k_MSR, v_MSR, hidden_N11S=hidden_N11S)

    for i in range(5):
        row, end = slice(i, i + 1), 21 + i
        assert torch.equal(together[row], attend_apart(q_NHR[row], k_MSR, v_MSR, hidden_N11S=hidden_N11S[row]))
        assert torch.allclose(
            together[row], attend(q_NHR[row], k_MSR[:, :end], v_MSR[:, :end], mask_NS=None), atol=1e-6
        )


def test_a_decoder_with_a_window_does_not_attend_apart() -> None:
    config, weights = parse_config(LLAMA), Weights(random_llama(), precision="fp32")

    assert Decoder(config, weights).attends_apart
    assert not Decoder(config.with_window(6), weights).attends_apart


def test_a_window_wider_than_the_text_changes_nothing_and_a_narrow_one_does() -> None:
    config, tensors = parse_config(LLAMA), random_llama()
    full = _states(config, tensors, [40])

    assert torch.equal(_states(config.with_window(40), tensors, [40]), full)
    assert (_states(config.with_window(6), tensors, [40]) - full).abs().max() > 0.1


@pytest.mark.parametrize("num_tokens", [1, 5])
def test_a_sink_takes_its_share_and_a_sink_of_nothing_takes_none(num_tokens: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(num_tokens, 4, 8, generator=generator)
    k, v = torch.randn(2, 2, num_tokens, 8, generator=generator)

    plain = attend(q, k, v, mask_NS=None)
    no_sink = attend_with_sinks(q, k, v, mask_NS=None, sinks_H=torch.full((4,), -1e9))
    all_sink = attend_with_sinks(q, k, v, mask_NS=None, sinks_H=torch.full((4,), 1e9))

    assert torch.allclose(no_sink, plain, atol=1e-5)
    assert torch.equal(all_sink, torch.zeros_like(plain))
