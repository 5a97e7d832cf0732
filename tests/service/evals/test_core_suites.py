"""The core's suites agree with transformers on a small model, and say so when there is no model to read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tokenizers
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from service.evals.core_suites import (
    PassageDrift,
    PassageLoss,
    core_suites,
    drift_metrics,
    perplexity_metrics,
    read_passages,
)
from service.evals.runner import SuiteResult, run_suite
from service.settings import Settings
from verticals.contract import Metric


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlamaForCausalLM]:
    """A random byte-level Llama of two layers, as transformers writes it."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        eos_token_id=256,
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({letter: idx for idx, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.save(str(folder / "tokenizer.json"))
    return folder, model


def _run(settings: Settings) -> dict[str, SuiteResult]:
    results = [run_suite("core", suite, lambda what, share: None) for suite in core_suites(settings)]
    return {result.name: result for result in results}


def _metrics(result: SuiteResult) -> dict[str, Metric]:
    assert result.status == "ok", result.reason
    return {metric.name: metric for metric in result.metrics}


def test_perplexity_and_bits_per_byte_equal_those_of_transformers(checkpoint, tmp_path: Path) -> None:
    folder, model = checkpoint
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    nats, count = 0.0, 0
    for passage in read_passages():
        ids = torch.tensor([backend.encode(passage).ids])
        with torch.inference_mode():
            nats += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1

    found = _metrics(_run(Settings(home=tmp_path, model=folder, precision="fp32"))["perplexity"])

    assert found["perplexity"].value == pytest.approx(math.exp(nats / count), rel=1e-4)
    assert found["perplexity"].low < found["perplexity"].value < found["perplexity"].high
    assert found["perplexity"].n == len(read_passages())
    assert found["bits per byte"].value == pytest.approx(nats / count / math.log(2), rel=1e-4)  # one token is one byte
    assert 1 < (found["bits per byte"].baseline_value or 0) < 8


def test_int8_drifts_a_little_from_the_unquantized_model(checkpoint, tmp_path: Path) -> None:
    found = _metrics(_run(Settings(home=tmp_path, model=checkpoint[0]))["quantization drift"])

    assert 0 < found["KL divergence, nats"].value < 0.05
    assert 0.8 < found["top-1 agreement"].value < 1
    assert found["top-1 agreement"].higher_is_better
    assert not found["KL divergence, nats"].higher_is_better


def test_a_remote_model_is_skipped_and_not_replaced_by_another(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, engine="openai", openai_base_url="http://127.0.0.1:9", openai_model="m")

    results = _run(settings)

    assert {result.status for result in results.values()} == {"skipped"}
    assert "TRIVIUM_ENGINE: the served model is remote" in str(results["perplexity"].reason)


def test_a_folder_without_a_model_is_skipped_with_the_reason(tmp_path: Path) -> None:
    result = _run(Settings(home=tmp_path, model=tmp_path / "nothing"))["perplexity"]

    assert result.status == "skipped"
    assert "nothing" in str(result.reason)


def test_long_passages_weigh_more_than_short_ones() -> None:
    losses = [PassageLoss(nll=90 * math.log(2), num_tokens=90, num_bytes=90), PassageLoss(10 * math.log(4), 10, 10)]

    perplexity, bits = perplexity_metrics(losses, exact=losses, exact_name="fp32")

    assert perplexity.value == pytest.approx(2**1.1)
    assert bits.value == pytest.approx(1.1)
    assert (perplexity.baseline, perplexity.baseline_value) == ("fp32", perplexity.value)


def test_drift_is_averaged_over_tokens_beside_mere_rounding() -> None:
    drifts = [PassageDrift(kl=9.0, num_agreed=80, num_tokens=90), PassageDrift(kl=1.0, num_agreed=10, num_tokens=10)]

    kl, agreement = drift_metrics(drifts, rounding=[PassageDrift(0.1, 99, 100)])

    assert (kl.value, kl.baseline, kl.baseline_value) == (pytest.approx(0.1), "bf16", pytest.approx(0.001))
    assert (agreement.value, agreement.baseline_value) == (pytest.approx(0.9), pytest.approx(0.99))


def test_the_shipped_text_is_a_few_kilobytes_of_passages_without_its_comment() -> None:
    passages = read_passages()

    assert 4_000 < sum(len(passage.encode()) for passage in passages) < 6_000
    assert not any("CC0" in passage or "\n" in passage for passage in passages)
