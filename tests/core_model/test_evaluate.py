"""Perplexity and drift, against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from core_model.evaluate import logits_kl, perplexity, token_logits, token_nll
from core_model.model import Decoder
from tests.core_model.tiny import make_decoder

IDS = list(range(5, 45))


def test_perplexity_follows_its_definition(decoder: Decoder) -> None:
    probs = token_logits(decoder, IDS).double().softmax(-1)
    expected = [-math.log(probs[i, IDS[i + 1]]) for i in range(len(IDS) - 1)]

    assert perplexity(decoder, IDS) == pytest.approx(math.exp(sum(expected) / len(expected)), rel=1e-5)


def test_windows_are_independent(decoder: Decoder) -> None:
    parts = [token_nll(decoder, IDS[:20]), token_nll(decoder, IDS[20:])]

    assert torch.allclose(token_nll(decoder, IDS, window=20), torch.cat(parts))


def test_a_model_does_not_drift_from_itself_and_int8_does_a_little(decoder: Decoder) -> None:
    same, int8 = logits_kl(decoder, decoder, IDS), logits_kl(decoder, make_decoder("int8"), IDS)

    assert (same.mean_kl, same.top1_agreement, same.num_tokens) == (0.0, 1.0, 40)
    assert 0 < int8.mean_kl < 0.05


def test_one_token_has_no_perplexity(decoder: Decoder) -> None:
    with pytest.raises(ValueError, match=r"at least 2 are needed \(got 1\)"):
        perplexity(decoder, [1])
