"""Adapters in an engine over a real, tiny decoder: mixed answers are those of each alone, and nothing lingers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from core_model.adapter_bank import AdaptedLinear, AdapterBank
from core_model.engine import Engine
from core_model.generation import RequestOptions, SamplingParams, TokenChunk
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.runner import ModelRunner
from tests.core_model.tiny import make_decoder
from tests.core_model.tiny_adapters import write_lora, write_prompt

Start = Callable[..., Engine]
PROMPT, PARAMS = list(range(20)), SamplingParams(max_tokens=12, ignore_eos=True)


def runner(decoder: Decoder) -> ModelRunner:
    cache = PagedCache(decoder.config, num_pages=64, page_size=8, dtype=decoder.dtype, device=decoder.device)
    return ModelRunner(decoder, cache, adapters=AdapterBank(decoder, max_adapters=4))


def ask(engine: Engine, adapter: str | None, prompt: list[int] = PROMPT) -> Iterator[TokenChunk]:
    return engine.stream(prompt, PARAMS, options=RequestOptions(adapter=adapter))


def ids_of(stream: Iterator[TokenChunk]) -> list[int]:
    return [token for chunk in stream for token in chunk.token_ids]


def load_four(engine: Engine, folder: Path) -> list[str | None]:
    """Two of all layers and different ranks, one of few layers, a prompt; and the model as it is."""
    engine.load_adapter("first", write_lora(folder / "first", seed=1))
    engine.load_adapter("second", write_lora(folder / "second", seed=2, rank=7))
    engine.load_adapter("few", write_lora(folder / "few", seed=3, targets=("k_proj", "down_proj")))
    engine.load_adapter("prompt", write_prompt(folder / "prompt", seed=4))
    return ["first", "second", None, "few", "prompt", "first"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_mixed_batch_answers_as_each_alone(start: Start, tmp_path: Path, precision: str) -> None:
    engine = start(runner(make_decoder(precision)), max_batch=8, step_tokens=16)  # 16: prompts are cut too
    names = load_four(engine, tmp_path)
    alone = [ids_of(ask(engine, name)) for name in names]

    streams = [ask(engine, name) for name in names]
    together = [ids_of(stream) for stream in streams]

    assert together == alone
    assert len({tuple(ids) for ids in alone}) == 5  # each one matters


def test_a_cached_beginning_is_never_anothers(start: Start, decoder: Decoder, tmp_path: Path) -> None:
    engine = start(runner(decoder))
    names = load_four(engine, tmp_path)[:5]

    cold = [ids_of(ask(engine, name)) for name in names]
    assert engine.stats().cached_prompt_tokens_total == 0
    warm = [ids_of(ask(engine, name)) for name in names]

    assert engine.stats().cached_prompt_tokens_total == 5 * (len(PROMPT) - 1)  # virtual tokens are nobody's prompt
    assert warm == cold


def test_a_name_that_is_reused_starts_with_an_empty_cache(start: Start, decoder: Decoder, tmp_path: Path) -> None:
    engine = start(runner(decoder))
    engine.load_adapter("a", write_lora(tmp_path / "old", seed=1))
    old = ids_of(ask(engine, "a"))

    engine.load_adapter("a", write_lora(tmp_path / "new", seed=2))
    new = ids_of(ask(engine, "a"))

    assert new != old
    assert engine.stats().cached_prompt_tokens_total == 0


def test_virtual_tokens_are_not_counted_but_take_room(start: Start, decoder: Decoder, tmp_path: Path) -> None:
    engine = start(runner(decoder), max_context=24)
    engine.load_adapter("prompt", write_prompt(tmp_path / "prompt", seed=1))

    assert len(ids_of(ask(engine, "prompt", PROMPT[:16]))) == 3
    assert engine.stats().prompt_tokens_total == 16
    with pytest.raises(ValueError, match=r"the context holds 24 tokens, answer included \(got a prompt of 24\)"):
        ask(engine, "prompt", PROMPT[:19])


def test_the_layers_are_wrapped_only_while_adapters_are_there(start: Start, decoder: Decoder, tmp_path: Path) -> None:
    engine, attention = start(runner(decoder)), decoder.layers[0].self_attn
    before = ids_of(ask(engine, None))

    engine.load_adapter("o", write_lora(tmp_path / "o", seed=1, targets=("o_proj",)))
    wrapped = [isinstance(layer, AdaptedLinear) for layer in (attention.qkv_proj, attention.o_proj)]
    engine.unload_adapter("o")

    assert wrapped == [False, True]
    assert not isinstance(attention.o_proj, AdaptedLinear)
    assert decoder.adapters is None
    assert ids_of(ask(engine, None)) == before


def test_a_running_request_keeps_the_adapter_it_began_with(start: Start, decoder: Decoder, tmp_path: Path) -> None:
    engine = start(runner(decoder), max_unread=1)  # it pauses soon, and goes on as it is read
    engine.load_adapter("a", write_lora(tmp_path / "a", seed=1))
    expected = ids_of(ask(engine, "a"))

    stream = ask(engine, "a")
    engine.unload_adapter("a")
    is_held = decoder.adapters is not None
    with pytest.raises(ValueError, match=r"adapter: not loaded \(got 'a'; loaded: none\)"):
        ask(engine, "a")

    assert is_held
    assert ids_of(stream) == expected
    engine.close()
    assert decoder.adapters is None


def test_loading_is_bounded_and_a_failed_one_changes_nothing(start: Start, decoder: Decoder, tmp_path: Path) -> None:
    engine = start(runner(decoder))
    load_four(engine, tmp_path)
    fifth = write_lora(tmp_path / "fifth", seed=5)

    with pytest.raises(ValueError, match="adapters: at most 4"):
        engine.load_adapter("fifth", fifth)
    with pytest.raises(ValueError, match="adapter: names have 1 to 64 letters"):
        engine.load_adapter("a/b", tmp_path / "first")
    with pytest.raises(ValueError, match=r"adapter: not loaded \(got 'fifth'; loaded: few, first, prompt, second\)"):
        engine.unload_adapter("fifth")
    assert engine.adapters == ("few", "first", "prompt", "second")
    engine.unload_adapter("few")
    engine.load_adapter("fifth", fifth)


@torch.inference_mode()
def test_rows_without_an_adapter_are_untouched(decoder: Decoder, tmp_path: Path) -> None:
    tokens, bank = torch.tensor([5, 6, 7]), AdapterBank(decoder)
    plain = decoder(tokens, [Segment(1)] * 3)
    adapter = bank.read(write_lora(tmp_path / "a", seed=1))
    bank.add(adapter)

    mixed = decoder(tokens, [Segment(1, adapter=adapter.id), Segment(1), Segment(1, adapter=adapter.id)])

    assert torch.equal(mixed[1], plain[1])
    assert not torch.allclose(mixed[0], plain[0])
    assert not torch.allclose(mixed[2], plain[2])


@torch.inference_mode()
def test_a_decoded_row_is_the_same_bit_for_bit_whatever_runs_beside_it(tmp_path: Path) -> None:
    decoder = make_decoder("int8")
    bank = AdapterBank(decoder)
    adapters = [bank.read(write_lora(tmp_path / str(rank), seed=rank, rank=rank)) for rank in (4, 7, 2)]
    few = bank.read(write_lora(tmp_path / "few", seed=9, rank=4, targets=("k_proj", "down_proj")))
    names = sorted(adapter.id for adapter in (*adapters, few))
    wanted = list(zip(range(5, 9), names, strict=True))

    def rows(wanted: list[tuple[int, str]]) -> torch.Tensor:
        return decoder(torch.tensor([token for token, _ in wanted]), [Segment(1, adapter=name) for _, name in wanted])

    alone = []
    for adapter in sorted((*adapters, few), key=lambda one: one.id):
        bank.add(adapter)
        alone.append(rows([wanted[len(alone)]]))

    assert torch.equal(rows(wanted), torch.cat(alone))
    assert torch.equal(rows(wanted[::-1]), torch.cat(alone[::-1]))
    assert torch.equal(rows([wanted[0]] * 3), alone[0].expand(3, -1))
    bank.remove(names[1])
    assert torch.equal(rows([wanted[0], wanted[3], wanted[2]]), torch.cat([alone[0], alone[3], alone[2]]))
