"""The before-and-after report: the reference against itself, against a pruned copy, and against other measures."""

from __future__ import annotations

import pytest

from core_model.compress.judge import Judge
from core_model.compress.prune import prune_weights
from core_model.config import parse_config
from core_model.evaluate import logits_kl, perplexity
from core_model.model import Decoder
from core_model.weights import Weights
from tests.core_model.tiny import LLAMA, make_decoder, random_llama

IDS = [i * 7 % 300 for i in range(96)]


def test_the_reference_agrees_with_itself() -> None:
    tensors, decoder = random_llama(), make_decoder("fp32")
    found = Judge(decoder, IDS, window=32)(decoder, tensors)

    assert (found.mean_kl, found.top1_agreement, found.share_zero) == (pytest.approx(0, abs=1e-6), 1, 0)
    assert found.perplexity == pytest.approx(perplexity(decoder, IDS, window=32), rel=1e-4)
    assert found.num_parameters == sum(w.numel() for w in tensors.values())
    assert found.num_bytes == 4 * found.num_parameters
    assert found.tokens_per_s > 0


def test_a_pruned_model_drifts_as_other_measures_say() -> None:
    tensors = prune_weights(random_llama(), sparsity=0.5)
    reference, pruned = make_decoder("fp32"), Decoder(parse_config(LLAMA), Weights(tensors, precision="fp32"))
    found = Judge(reference, IDS, window=96)(pruned, tensors)

    drift = logits_kl(reference, pruned, IDS)
    assert found.mean_kl == pytest.approx(drift.mean_kl, rel=1e-4)
    assert found.top1_agreement == pytest.approx(drift.top1_agreement)
    assert 0.2 < found.share_zero < 0.5


def test_less_text_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one window of 256"):
        Judge(make_decoder("fp32"), IDS)
