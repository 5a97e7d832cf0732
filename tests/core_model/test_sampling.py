"""Sampling follows its distribution, its seed and its limits; transformers' processors are the oracle."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from core_model.generation import Grammar, SamplingParams
from core_model.sampling import Sampler

LOGITS = torch.tensor([0.0, 3.0, 2.0, 1.0, -1.0])
N = 4000


def draw(params: SamplingParams, logits: Tensor = LOGITS, n: int = N, **state: Any) -> Counter[int]:
    sampler = Sampler(params, **state)
    return Counter(sampler.sample(logits).token_id for _ in range(n))


def assert_drawn_from(counts: Counter[int], probs: Tensor) -> None:
    """The draws are of `probs` (chi-square, 0.1 %), and nothing else was drawn."""
    kept = probs.nonzero().flatten().tolist()
    observed = [counts[token] for token in kept]
    assert sum(observed) == counts.total()
    if len(kept) > 1:
        expected = probs[kept].double() / probs[kept].double().sum() * counts.total()
        assert chisquare(observed, expected.tolist()).pvalue > 1e-3


def test_temperature_zero_takes_the_best() -> None:
    assert draw(SamplingParams(), n=3) == {1: 3}


def test_draws_follow_the_softmax() -> None:
    assert_drawn_from(draw(SamplingParams(temperature=0.8, seed=1)), (LOGITS / 0.8).softmax(-1))


def test_the_smallest_temperatures_are_greedy_not_broken() -> None:
    assert draw(SamplingParams(temperature=1e-40, seed=1), n=20) == {1: 20}


@pytest.mark.parametrize(
    "limits",
    [
        {"top_k": 3},
        {"top_p": 0.6},
        {"top_p": 0.95},
        {"min_p": 0.1},
        {"top_k": 4, "top_p": 0.9},
        {"top_p": 0.95, "min_p": 0.2},
        {"top_k": 20, "top_p": 0.99, "min_p": 0.02},
        {"repetition_penalty": 1.7},
        {"repetition_penalty": 0.6, "top_k": 5, "min_p": 0.01},
    ],
    ids=str,
)
@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_limits_are_those_of_transformers(limits: dict[str, Any], temperature: float) -> None:
    logits, prompt = torch.randn(40, generator=torch.Generator().manual_seed(3)) * 2, [1, 5, 5, 39]
    warpers = {"top_k": TopKLogitsWarper, "top_p": TopPLogitsWarper, "min_p": MinPLogitsWarper}
    processors: list[Any] = [RepetitionPenaltyLogitsProcessor(limits.get("repetition_penalty", 1.0))]
    processors += [TemperatureLogitsWarper(temperature)]
    processors += [warper(limits[name]) for name, warper in warpers.items() if name in limits]
    theirs = LogitsProcessorList(processors)(torch.tensor([prompt]), logits[None])[0].softmax(-1)

    counts: Counter[int] = Counter()
    for seed in range(600):  # first draws of many samplers: the repetition penalty would count own draws too
        params = SamplingParams(temperature=temperature, seed=seed, **limits)
        counts[Sampler(params, prompt_ids=prompt).sample(logits).token_id] += 1

    likely = theirs * (theirs * 600 >= 5)  # chi-square needs five expected draws
    assert not [token for token in counts if theirs[token] == 0]
    assert_drawn_from(Counter({token: n for token, n in counts.items() if likely[token] > 0}), likely)


@pytest.mark.parametrize("limits", [{"top_p": 0.5}, {"min_p": 0.9999}])
def test_limits_are_exact_where_the_distribution_is_flat(limits: dict[str, float]) -> None:
    logits = torch.zeros(3000)
    logits[:1500] += 1e-3  # the better half holds just over 50 %

    counts = draw(SamplingParams(temperature=1.0, seed=4, **limits), logits, n=1500)  # type: ignore[arg-type]

    assert max(counts) < 1500
    assert len(counts) > 700


def test_penalties_of_the_answer_are_openais() -> None:
    # logits 3 2 1: one count costs .31 + .43, the next .43 more
    params = SamplingParams(presence_penalty=0.31, frequency_penalty=0.43)
    sampler, logits, expected = Sampler(params, prompt_ids=[1, 1, 1]), LOGITS.clone(), []
    for _ in range(12):
        counts = Counter(expected)
        penalty = [0.43 * counts[token] + 0.31 * (token in counts) for token in range(5)]
        expected.append(int((LOGITS - torch.tensor(penalty)).argmax()))

    assert [sampler.sample(logits).token_id for _ in range(12)] == expected
    assert len(set(expected)) > 2
    assert torch.equal(logits, LOGITS)


def test_the_repetition_penalty_counts_prompt_and_answer_once() -> None:
    sampler = Sampler(SamplingParams(repetition_penalty=2.0), prompt_ids=[1, 1])

    # 3 -> 1.5 for the prompt's token; then 2 -> 1 for the answer's own
    assert [sampler.sample(LOGITS).token_id for _ in range(3)] == [2, 1, 1]


def test_a_bias_forces_and_forbids() -> None:
    assert draw(SamplingParams(logit_bias=((4, 100.0),)), n=2) == {4: 2}
    assert 1 not in draw(SamplingParams(temperature=1.0, seed=1, logit_bias=((1, -100.0),)))


def test_an_answer_cannot_end_before_min_tokens() -> None:
    sampler = Sampler(SamplingParams(min_tokens=2, stop_token_ids=(2,)), end_ids=[1])

    assert [sampler.sample(LOGITS).token_id for _ in range(3)] == [3, 3, 1]


def test_logprobs_are_the_models_own() -> None:
    params = SamplingParams(temperature=0.5, seed=1, logprobs=2, logit_bias=((4, 100.0),), repetition_penalty=1.5)
    expected = LOGITS.log_softmax(-1)

    sampled = Sampler(params, prompt_ids=[1]).sample(LOGITS)

    assert sampled.logprob is not None
    assert (sampled.token_id, sampled.logprob.token_id) == (4, 4)
    assert sampled.logprob.logprob == pytest.approx(float(expected[4]))
    assert [token for token, _ in sampled.logprob.top] == [1, 2]
    assert [value for _, value in sampled.logprob.top] == pytest.approx(expected[1:3].tolist())


def test_no_logprobs_unless_asked_and_none_besides_for_zero() -> None:
    assert Sampler(SamplingParams()).sample(LOGITS).logprob is None
    asked = Sampler(SamplingParams(logprobs=0)).sample(LOGITS).logprob
    assert asked is not None
    assert asked.top == ()


@pytest.mark.parametrize("limits", [{}, {"top_k": 3}, {"top_p": 0.9}, {"min_p": 0.05}])
def test_a_seed_repeats_its_draws_and_another_does_not(limits: dict[str, float]) -> None:
    def sequence(seed: int) -> list[int]:
        sampler = Sampler(SamplingParams(temperature=1.0, seed=seed, **limits))  # type: ignore[arg-type]
        return [sampler.sample(LOGITS).token_id for _ in range(50)]

    assert sequence(7) == sequence(7)
    assert sequence(7) != sequence(8)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_broken_numbers_are_an_error_not_a_token(temperature: float, value: float) -> None:
    with pytest.raises(RuntimeError, match=r"no token is possible|probability tensor"):
        Sampler(SamplingParams(temperature=temperature)).sample(torch.full((5,), value))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_tokens": 0}, r"max_tokens: must be at least 1 \(got 0\). Leave it out"),
        ({"temperature": float("nan")}, "temperature: must be 0"),
        ({"top_k": -1}, r"top_k: must be 0 or more \(got -1\). Leave it out for all tokens."),
        ({"top_p": 0.0}, "top_p: must be above 0"),
        ({"min_p": 1.1}, r"min_p: must be 0 to 1 \(got 1.1\)"),
        ({"repetition_penalty": 0.0}, "repetition_penalty: must be above 0"),
        ({"presence_penalty": 2.1}, "presence_penalty: must be -2 to 2"),
        ({"frequency_penalty": float("nan")}, "frequency_penalty: must be -2 to 2"),
        ({"logit_bias": ((1, 101.0),)}, "logit_bias: each must be -100 to 100"),
        ({"seed": 2**63}, "seed: must be 0"),
        ({"stop": ("a", "")}, "stop: strings must not be empty"),
        ({"min_tokens": -1}, "min_tokens: must be 0 or more"),
        ({"min_tokens": 9, "max_tokens": 8}, r"min_tokens: at most max_tokens=8 \(got 9\)"),
        ({"logprobs": 21}, "logprobs: must be 0 to 20"),
        ({"grammar": Grammar("ebnf", "x")}, "grammar: kind must be one of json_schema, regex, lark, choice"),
        ({"grammar": Grammar.choice("a"), "min_tokens": 1}, "min_tokens: the grammar alone says"),
        ({"grammar": Grammar.choice("a"), "ignore_eos": True}, "ignore_eos: the grammar alone says"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamplingParams(**values).check()
