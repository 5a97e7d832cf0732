"""int8 layers that were packed before give the same decoder, bit for bit."""

from __future__ import annotations

import torch

from core_model.config import parse_config
from core_model.model import Decoder, Segment
from core_model.weights import Weights
from tests.core_model.tiny import LLAMA, random_llama


def test_packed_weights_build_the_same_decoder_without_the_exact_ones() -> None:
    config, packed = parse_config(LLAMA), {}
    first = Decoder(config, Weights(random_llama(), precision="int8", packed=packed))
    ids_T = torch.arange(20)

    again = Decoder(config, Weights(packed, precision="int8"))

    assert torch.equal(again(ids_T, [Segment(20)]), first(ids_T, [Segment(20)]))
    assert torch.equal(again.logits(again(ids_T, [Segment(20)])), first.logits(first(ids_T, [Segment(20)])))
    assert not [name for name in packed if name.endswith("proj.weight")]
