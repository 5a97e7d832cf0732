"""The native step computes what the torch layers do, and a token's result is its own to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core_model.config import parse_config
from core_model.kernels.library import Kernels, open_kernels, status
from core_model.kernels.step import Step, Unsupported
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.rebalance import selection_biases, set_selection_biases
from core_model.weights import Weights
from tests.core_model.kernels.conftest import open_at
from tests.core_model.kernels.small import CONFIGS, native, open_halves, oracle, random_weights
from tests.core_model.tiny import make_decoder

IDS = torch.randint(0, 300, (300,), generator=torch.Generator().manual_seed(0))


def run(decoder: Decoder, cache: PagedCache, cuts: list[int]) -> Tensor:
    """The hidden states of the first tokens of `IDS`, computed in pieces that end at `cuts`."""
    ids = IDS[: cuts[-1]].tolist()
    begun = cache.begin(ids)
    assert begun is not None
    slot, parts = begun[0], []
    for start, end in zip([0, *cuts], cuts, strict=False):
        parts.append(decoder(IDS[start:end], [Segment(end - start, start, slot)], cache))
    cache.end(slot, [])
    return torch.cat(parts)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_prompt_gets_what_torch_computes(kernels: Kernels, name: str) -> None:
    decoder, torch_decoder = native(name, kernels), oracle(name)
    expected = run(torch_decoder, open_halves(torch_decoder), [70])

    found = run(decoder, open_halves(decoder), [70])

    # Where the rounding of an input falls the other way, a token differs by a step of it.
    error_T = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert float(error_T.median()) < 1e-3
    assert float(error_T.max()) < 0.05
    same = decoder.logits(found).argmax(-1) == torch_decoder.logits(expected).argmax(-1)
    assert float(same.float().mean()) > 0.97


@pytest.mark.parametrize("name", CONFIGS)
def test_without_a_cache_the_result_is_the_same(best_kernels: Kernels, name: str) -> None:
    decoder = native(name, best_kernels)

    assert torch.equal(decoder(IDS[:200], [Segment(200)]), run(decoder, open_halves(decoder), [200]))


@pytest.mark.parametrize("name", ["llama", "glm4_moe"])
@pytest.mark.parametrize("page_size", [8, 24, 32, 128])
def test_how_a_prompt_is_cut_changes_no_bit(kernels: Kernels, name: str, page_size: int) -> None:
    decoder = native(name, kernels)
    whole = run(decoder, open_halves(decoder), [150])

    cut = run(decoder, open_halves(decoder, page_size=page_size), [1, 31, 32, 33, 64, 145, *range(146, 151)])

    assert torch.equal(cut, whole)


@pytest.mark.parametrize("name", ["qwen2", "glm4_moe"])
@pytest.mark.parametrize("num_others", range(9))
def test_what_runs_beside_a_token_changes_no_bit(best_kernels: Kernels, name: str, num_others: int) -> None:
    decoder = native(name, best_kernels)
    cache, alone_cache = open_halves(decoder), open_halves(decoder)
    alone = run(decoder, alone_cache, [40, 41])[-1]
    segments, ids = [], []
    for i in range(num_others + 1):
        length = 40 if i == num_others // 2 else 3 + 17 * i
        begun = cache.begin([*range(length + 1)], root=bytes([i]))
        assert begun is not None
        segments.append(Segment(1, length, begun[0]))
        ids.append(IDS[length])
        decoder(IDS[:length], [Segment(length, 0, begun[0])], cache)

    together = decoder(torch.stack(ids), segments, cache)

    assert torch.equal(together[num_others // 2], alone)


def test_the_number_of_threads_changes_no_bit(kernels: Kernels) -> None:
    one = native("glm4_moe", type(kernels)(kernels._library, kernels._level, 1))
    two = native("glm4_moe", kernels)

    assert torch.equal(one(IDS, [Segment(300)]), two(IDS, [Segment(300)]))


@pytest.mark.parametrize("name", CONFIGS)
def test_avx2_and_avx_512_give_the_same_bits(name: str) -> None:
    half, whole = (native(name, open_at(level)) for level in ("avx2", "vnni"))

    assert torch.equal(half(IDS, [Segment(300)]), whole(IDS, [Segment(300)]))


def test_experts_are_counted_wherever_their_tokens_ran(best_kernels: Kernels) -> None:
    decoder = native("glm4_moe", best_kernels)
    decoder(IDS[:20], [Segment(20)])
    step, decoder.step = decoder.step, None
    decoder(IDS[:5], [Segment(5)])
    decoder.step = step

    counts = decoder.expert_counts()

    assert counts.keys() == {1}
    assert sum(counts[1]) == 25 * 3


def test_other_selection_biases_choose_other_experts_at_once(best_kernels: Kernels) -> None:
    decoder = native("glm4_moe", best_kernels)
    decoder(IDS[:20], [Segment(20)])
    favoured = {name: torch.tensor([9.0, 9, 9, 9, 0, 0, 0, 0]) for name in selection_biases(decoder)}

    set_selection_biases(decoder, favoured)
    before = decoder.expert_counts()[1]
    decoder(IDS[:20], [Segment(20)])

    assert [now - then for now, then in zip(decoder.expert_counts()[1], before, strict=True)][4:] == [0] * 4


def test_adapters_and_other_caches_go_through_the_torch_layers(best_kernels: Kernels) -> None:
    decoder = native("llama", best_kernels)
    plain = PagedCache(decoder.config, num_pages=4, dtype=torch.float32, device=decoder.device)
    assert decoder.step is not None

    assert decoder.step.takes([Segment(1)], open_halves(decoder))
    assert not decoder.step.takes([Segment(1), Segment(1, adapter="a")], open_halves(decoder))
    assert not decoder.step.takes([Segment(1)], plain)


def test_the_torch_layers_read_what_the_step_wrote(best_kernels: Kernels) -> None:
    decoder = native("llama", best_kernels)
    expected, cache = run(decoder, open_halves(decoder), [50])[-1], open_halves(decoder)
    begun = cache.begin(IDS[:50].tolist())
    assert begun is not None
    decoder(IDS[:49], [Segment(49, 0, begun[0])], cache)
    decoder.step = None

    found = decoder(IDS[49:50], [Segment(1, 49, begun[0])], cache)[0]

    assert float((found - expected).norm() / expected.norm()) < 0.01


def test_positions_beyond_a_sequence_s_pages_are_refused(best_kernels: Kernels) -> None:
    decoder = native("llama", best_kernels)
    cache = open_halves(decoder)
    begun = cache.begin([1, 2, 3])
    assert begun is not None

    with pytest.raises(ValueError, match="positions, pages and tokens do not fit together"):
        decoder(IDS[:5], [Segment(5, 28, begun[0])], cache)
    decoder(IDS[:27], [Segment(27, 0, begun[0])], cache)
    assert decoder(IDS[:5], [Segment(5, 27, begun[0])], cache).isfinite().all()


def test_tokens_that_do_not_fit_their_segments_are_refused(best_kernels: Kernels) -> None:
    with pytest.raises(ValueError, match=r"x: must be \(tokens of the segments, 64\)"):
        native("llama", best_kernels)(IDS[:5], [Segment(4)])


def test_tokens_beyond_the_vocabulary_are_refused(best_kernels: Kernels) -> None:
    with pytest.raises(IndexError):
        native("llama", best_kernels)(torch.tensor([300]), [Segment(1)])


def test_a_level_that_the_machine_lacks_is_refused() -> None:
    best = status().level
    if best in (None, "vnni"):
        pytest.skip("kernels: every level runs here, or none")

    with pytest.raises(ValueError, match=f"this CPU runs {best!r} at best"):
        open_kernels(num_threads=1, level="vnni")


def test_a_model_in_floats_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="not in 4 or 8 bits"):
        Step(make_decoder("fp32"))


def test_a_model_with_windows_is_refused(best_kernels: Kernels) -> None:
    config = parse_config(CONFIGS["llama"]).with_window(16)

    with pytest.raises(Unsupported, match="windows"):
        Step(Decoder(config, Weights(random_weights("llama"), precision="int8", kernels=best_kernels)))
