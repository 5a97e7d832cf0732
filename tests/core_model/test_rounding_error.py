"""What is told of rounding, from the grids alone, is what rounding did."""

from __future__ import annotations

import pytest
import torch

from core_model.compress.rounding import round_to_nearest
from core_model.config import parse_config
from core_model.model import Decoder
from core_model.quantize import Int8Linear, quantize_int8
from core_model.rounding_error import describe_weights, rounding_errors
from core_model.train.language_model import LanguageModel
from core_model.weights import INT4, Precision, Weights
from tests.core_model.tiny import make_decoder, make_engine
from tests.core_model.train.tiny_training import MOE


def test_the_error_of_int8_is_the_true_one() -> None:
    torch.manual_seed(0)
    weight_OI = torch.randn(64, 512)
    q_OI, scale_O = quantize_int8([weight_OI])
    noise, energy = Int8Linear(q_OI, scale_O).weight.rounding()

    true = (q_OI * scale_O.unsqueeze(-1) - weight_OI).norm() / weight_OI.norm()
    assert (noise / energy) ** 0.5 == pytest.approx(float(true), rel=0.03)


def test_the_error_of_int4_is_the_true_one() -> None:
    torch.manual_seed(0)
    weight_OI = torch.randn(64, 512)
    rounded = round_to_nearest(weight_OI, INT4)
    noise, energy = rounded.rounding()

    true = (rounded.dequantize() - weight_OI).norm() / weight_OI.norm()
    assert (noise / energy) ** 0.5 == pytest.approx(float(true), rel=0.05)


def test_zeros_are_not_rounded() -> None:
    torch.manual_seed(0)
    weight_OI = torch.randn(64, 512)
    half_OI = weight_OI * (torch.arange(64) % 2).unsqueeze(-1)

    for some_OI in (weight_OI, half_OI):
        noise, energy = Int8Linear(*quantize_int8([some_OI])).weight.rounding()
        assert (noise / energy) ** 0.5 == pytest.approx(0.0076, rel=0.1)
    noise, energy = round_to_nearest(torch.zeros(64, 512), INT4).rounding()
    assert (noise, energy) == (0, 0)


@pytest.mark.parametrize(("precision", "low", "high"), [("fp32", 0, 0), ("int8", 0.003, 0.02), ("int4", 0.03, 0.2)])
def test_each_layer_of_a_model_has_its_error(precision: Precision, low: float, high: float) -> None:
    errors = rounding_errors(make_decoder(precision))

    assert list(errors) == [0, 1]
    assert all(low <= error <= high for error in errors.values())


def test_experts_count_too() -> None:
    config = parse_config({**MOE, "vocab_size": 300})
    weights = LanguageModel({**MOE, "vocab_size": 300}).state_dict()
    uneven = torch.ones(32).index_fill_(0, torch.tensor([0]), 50.0)  # one input's weights are fifty times the others
    loud = {name: t * uneven[: t.shape[-1]] if ".experts." in name else t for name, t in weights.items()}

    quiet, spoilt = (rounding_errors(Decoder(config, Weights(w, precision="int8"))) for w in (weights, loud))

    assert max(spoilt.values()) > 1.5 * max(quiet.values())


def test_a_running_engine_tells_its_weights() -> None:
    engine = make_engine()
    try:
        found = describe_weights(engine)
    finally:
        engine.close()

    assert found.num_experts_per_tok == 0
    assert set(found.rounding_errors.values()) == {0.0}
