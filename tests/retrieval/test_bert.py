"""The BERT encoder refuses what it does not compute (equality with transformers is checked in test_embed)."""

from __future__ import annotations

import pytest

from retrieval.bert import BertEncoder

CONFIG = {"num_hidden_layers": 1, "num_attention_heads": 2, "layer_norm_eps": 1e-12}


def test_a_configuration_with_another_activation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden_act: only 'gelu' is computed here \(got 'relu'\)"):
        BertEncoder.from_pretrained({}, CONFIG | {"hidden_act": "relu"})


def test_missing_entries_are_taken_as_berts_defaults() -> None:
    assert BertEncoder.from_pretrained({}, CONFIG).num_heads == 2
