"""Rebalancing: a skewed router gets evener step by step, within bounds, and idle knowledge is not thrown away."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from core_model.config import parse_config
from core_model.engine import Engine
from core_model.expert_stats import LoadStats, describe_layers
from core_model.generation import EngineStopped, SamplingParams, TokenChunk
from core_model.kv_cache import PagedCache
from core_model.model import Decoder
from core_model.rebalance import bias_name, rebalance, rebalance_engine, selection_biases, set_selection_biases
from core_model.runner import ModelRunner
from core_model.train.language_model import LanguageModel
from core_model.train.pretrain import evaluate
from core_model.weights import Weights
from tests.core_model.tiny import make_tokenizer
from tests.core_model.train.tiny_training import MOE, make_ids


def skewed_model() -> LanguageModel:
    """A router that prefers some experts, as training without balancing leaves it."""
    torch.manual_seed(3)
    model = LanguageModel(MOE)
    with torch.no_grad():
        for layer in model.moe_layers().values():
            layer.gate.weight.normal_(0, 0.1)
            layer.gate.e_score_correction_bias.copy_(torch.linspace(-0.15, 0.15, 8))
    return model


def count(model: LanguageModel) -> dict[int, list[int]]:
    return evaluate(model, make_ids(100), window=32).counts


def busiest(load: dict[int, LoadStats]) -> float:
    return max(stats.max_over_mean for stats in load.values())


def test_some_steps_even_out_a_skewed_router() -> None:
    model = skewed_model()
    before = describe_layers(count(model))

    for _ in range(20):
        plan = rebalance(model.state_dict(), count(model), strength=0.02)
        model.load_state_dict(plan.biases, strict=False)

    after = describe_layers(count(model))
    assert busiest(before) > 2
    assert busiest(after) < 1.5
    assert all(after[i].entropy > before[i].entropy for i in after)


def test_one_step_is_bounded_and_changes_biases_only() -> None:
    model = skewed_model()
    tensors: dict[str, Tensor] = model.state_dict()
    plan = rebalance(tensors, {0: [1000, 0, 0, 0, 0, 0, 0, 0]}, strength=10, max_change=0.03)

    assert list(plan.biases) == [bias_name(0)]
    change = plan.biases[bias_name(0)] - tensors[bias_name(0)]
    assert change.abs().max() <= 0.03 + 1e-6
    assert change[0] < 0 < change[1]


def test_a_layer_without_a_bias_or_without_tokens_gets_a_placement_only() -> None:
    model = skewed_model()

    assert rebalance({}, {0: [5, 1, 1, 5]}, num_devices=2).biases == {}
    assert rebalance(model.state_dict(), {0: [0] * 8}).biases == {}


def test_the_placement_balances_devices_without_touching_answers() -> None:
    plan = rebalance({}, {0: [90, 80, 10, 10, 5, 5, 5, 5]}, num_devices=2)

    assert plan.placements[0].max_over_mean < 1.1
    assert plan.load[0].max_over_mean == pytest.approx(90 * 8 / 210)


def test_counts_of_another_model_and_bad_bounds_are_refused() -> None:
    tensors = skewed_model().state_dict()

    with pytest.raises(ValueError, match="layer 0 has 8 experts"):
        rebalance(tensors, {0: [1, 2, 3]})
    with pytest.raises(ValueError, match="must be above 0"):
        rebalance(tensors, {0: [1] * 8}, strength=0)


# --- of a running engine ---

FORTY = SamplingParams(max_tokens=40, ignore_eos=True)


def skewed_decoder() -> Decoder:
    config = parse_config(MOE)
    return Decoder(config, Weights(skewed_model().state_dict(), precision="fp32"))


def start_engine(decoder: Decoder) -> Engine:
    cache = PagedCache(decoder.config, num_pages=64, page_size=8, dtype=decoder.dtype, device=decoder.device)
    return Engine(
        ModelRunner(decoder, cache),
        make_tokenizer(),
        model_version="m",
        eos_ids=frozenset(),
        max_context=128,
        max_unread=4,  # so that an answer cannot run far ahead of its reader
    ).start()


def ids_of(stream: Iterable[TokenChunk]) -> list[int]:
    return [token for chunk in stream for token in chunk.token_ids]


def test_a_running_engine_gets_evener_and_says_so_in_its_version() -> None:
    decoder, prompt = skewed_decoder(), make_ids(100)[:60]
    with start_engine(decoder) as engine:
        ids_of(engine.stream(prompt, FORTY))
        first = rebalance_engine(engine, strength=0.05)
        versions = [engine.model_version]
        for _ in range(6):
            ids_of(engine.stream(prompt, FORTY))
            last = rebalance_engine(engine, strength=0.05)
            versions.append(engine.model_version)

    assert busiest(last.load) < busiest(first.load)
    assert last.load[0].num_pairs == 99 * 2  # counted since the step before; the last token is never run
    assert all(version.startswith("m+bias-") and version.count("+") == 1 for version in versions)
    assert len(set(versions)) == 7


def test_answers_after_a_change_are_those_of_a_model_loaded_that_way() -> None:
    prompt, decoder, fresh = make_ids(100)[60:120], skewed_decoder(), skewed_decoder()
    with start_engine(decoder) as engine:
        before = ids_of(engine.stream(prompt, FORTY))
        rebalance_engine(engine, strength=1, max_change=0.3)
        after = ids_of(engine.stream(prompt, FORTY))  # what is cached of this prompt is of the old biases
    set_selection_biases(fresh, selection_biases(decoder))
    with start_engine(fresh) as engine:
        expected = ids_of(engine.stream(prompt, FORTY))

    assert after == expected != before


def test_requests_under_way_go_on_and_their_text_so_far_is_computed_again() -> None:
    prompt, decoder = make_ids(100)[120:140], skewed_decoder()
    with start_engine(decoder) as engine:
        stream = engine.stream(prompt, FORTY)
        said = [next(stream).token_ids[0] for _ in range(3)]
        rebalance_engine(engine, strength=1, max_change=0.3)
        said += ids_of(stream)
        again = ids_of(engine.stream([*prompt, *said[:30]], SamplingParams(max_tokens=10, ignore_eos=True)))

        assert len(said) == 40
        assert again == said[30:]  # as if the new biases had read it all; by token 30 they were in force


def test_nothing_changes_without_tokens_or_biases() -> None:
    with start_engine(skewed_decoder()) as engine:
        assert rebalance_engine(engine).biases == {}
        assert engine.model_version == "m"
    with pytest.raises(EngineStopped, match="not running"):
        rebalance_engine(engine)


def test_a_bad_change_reaches_who_asked_and_harms_nobody() -> None:
    decoder = skewed_decoder()
    with start_engine(decoder) as engine:
        with pytest.raises(ValueError, match="must be above 0"):
            rebalance_engine(engine, strength=0)
        with pytest.raises(ValueError, match=r"model\.layers\.9\..* does not fit"):
            set_selection_biases(decoder, {bias_name(9): torch.zeros(8)})

        assert len(ids_of(engine.stream([1, 2], FORTY))) == 40
        assert engine.model_version == "m"
