"""Whole checkpoints in few bits: better recipes drift less, nothing is skipped in silence."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.compress.awq import scale_inputs
from core_model.compress.calibration import Site, calibrate
from core_model.compress.coverage import linear_names, measure_coverage
from core_model.compress.recipe import METHODS, Method, Quantized, Recipe, UndertrainedExperts, quantize_model
from core_model.compress.rounding import Scheme
from core_model.config import parse_config
from core_model.evaluate import logits_kl, token_logits
from core_model.model import Decoder
from core_model.weights import Weights
from tests.core_model.compress.tiny_moe import HELD_OUT, IDS, random_moe


def decoder_of(config: dict[str, Any], tensors: Any, precision: Any = "fp32", **options: Any) -> Decoder:
    """A decoder."""
    return Decoder(parse_config(config), Weights(tensors, precision=precision, **options))


def drift(config: dict[str, Any], tensors: dict[str, Tensor], found: Quantized) -> float:
    """Mean KL on text that calibration did not see."""
    return logits_kl(decoder_of(config, tensors), decoder_of(config, found.over(tensors)), HELD_OUT[0]).mean_kl


def quantize(recipe: Recipe, **options: Any) -> tuple[dict[str, Any], dict[str, Tensor], Quantized]:
    """The tiny model by a recipe."""
    config, tensors = random_moe()
    return config, tensors, quantize_model(parse_config(config), tensors, recipe, **{"windows": IDS, **options})


@pytest.mark.parametrize("method", METHODS)
def test_every_method_quantizes_every_linear_weight(method: Method) -> None:
    config, tensors, found = quantize(Recipe(method, Scheme(4, 32)))

    assert (found.coverage.experts, found.coverage.linear, found.coverage.left_out) == (1.0, 1.0, ())
    assert set(found.weights) == set(linear_names(tensors))
    assert not any("norm" in name or "mlp.gate" in name or "embed" in name for name in found.weights)
    assert 0 < drift(config, tensors, found) < 0.5


def test_gptq_drifts_less_than_rounding_to_nearest() -> None:
    config, tensors, nearest = quantize(Recipe("rtn", Scheme(3, 32)))

    _, _, better = quantize(Recipe("gptq", Scheme(3, 32)))

    assert drift(config, tensors, better) < 0.8 * drift(config, tensors, nearest)


def test_awq_changes_nothing_before_rounding() -> None:
    """With 16 bits the scales alone are left: norms, routers and weights in new clothes, the same logits."""
    config, tensors = random_moe()
    scaled: dict[str, Tensor] = {}
    num_scaled = 0

    def scale(layer_idx: int, sites: list[Site]) -> dict[str, Tensor]:
        nonlocal num_scaled
        prefix = f"model.layers.{layer_idx}"
        layer = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}
        before = dict(layer)
        scale_inputs(prefix, layer, sites, scheme=Scheme(3, 32))
        num_scaled += sum(not torch.equal(layer[name], before[name]) for name in before)
        scaled.update(layer)
        return layer

    calibrate(parse_config(config), tensors, IDS, replace_layer=scale)  # type: ignore[arg-type]
    found = token_logits(decoder_of(config, {**tensors, **scaled}), HELD_OUT[0])

    expected = token_logits(decoder_of(config, tensors), HELD_OUT[0])
    assert num_scaled > 20
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


def test_awq_helps_where_some_channels_are_large() -> None:
    config, tensors = random_moe()
    for i in range(2):
        tensors[f"model.layers.{i}.input_layernorm.weight"][:3] *= 20
        tensors[f"model.layers.{i}.post_attention_layernorm.weight"][:3] *= 20
    parsed = parse_config(config)

    plain = quantize_model(parsed, tensors, Recipe("rtn", Scheme(4, 32)))
    aware = quantize_model(parsed, tensors, Recipe("awq", Scheme(4, 32)), windows=IDS)

    assert drift(config, tensors, aware) < 0.7 * drift(config, tensors, plain)


def test_experts_that_calibration_hardly_reached_are_named() -> None:
    with pytest.warns(UndertrainedExperts, match=r"had fewer tokens than inputs and were rounded to nearest") as caught:
        _, _, found = quantize(Recipe("gptq", Scheme(4, 32)), windows=[IDS[0][:40]])

    names = {name for one in caught[0].message.found for name in one.names}  # type: ignore[union-attr]
    assert names
    assert all(".experts." in name or ".down_proj" in name for name in names)
    assert names == {name for one in found.undertrained for name in one.names}
    assert found.coverage.linear == 1.0


def test_enough_calibration_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, _, found = quantize(Recipe("gptq", Scheme(4, 32)), windows=IDS * 4)

    assert found.undertrained == ()


def test_a_plan_gives_single_layers_other_bits() -> None:
    bits = {"model.layers.0.self_attn.q_proj": 8, "model.layers.1.mlp.experts.3.down_proj": 16}

    _, _, found = quantize(Recipe("gptq", Scheme(4, 32), bits=bits))

    assert found.weights["model.layers.0.self_attn.q_proj.weight"].bits == 8
    assert found.weights["model.layers.0.self_attn.k_proj.weight"].bits == 4
    assert found.coverage.left_out == ("model.layers.1.mlp.experts.3.down_proj.weight",)
    assert 0.9 < found.coverage.experts < 1


def test_stacked_experts_are_refused_and_not_skipped() -> None:
    config, tensors = random_moe()
    tensors["model.layers.0.mlp.experts.gate_up_proj"] = torch.zeros(8, 32, 64)

    with pytest.raises(
        ValueError, match=r"mlp.experts.gate_up_proj: has 3 dimensions; experts must be one tensor each"
    ):
        quantize_model(parse_config(config), tensors, Recipe("rtn", Scheme(4, 32)))
    with pytest.raises(ValueError, match=r"bytes of experts, not the 100.0% asked for. Left out: model.layers.0.mlp"):
        measure_coverage(tensors, set(linear_names(tensors)) - {"model.layers.0.mlp.experts.gate_up_proj"}).require()


@pytest.mark.parametrize(
    ("windows", "message"), [([], r"needs token ids \(got none\)"), ([[999]], r"0 to 299 \(got 999")]
)
def test_calibration_needs_tokens_that_the_model_knows(windows: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantize(Recipe("gptq", Scheme(4, 32)), windows=windows)


def test_an_unknown_method_says_which_there_are() -> None:
    with pytest.raises(ValueError, match=r"method: must be one of rtn, awq, gptq, awq\+gptq \(got 'best'\)"):
        Recipe("best")  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_quantized_weights_are_computed_with_as_they_are(precision: str) -> None:
    config, tensors, found = quantize(Recipe("rtn", Scheme(4, 32)))
    over = found.over(tensors)

    logits = token_logits(decoder_of(config, over, precision), HELD_OUT[0])

    expected = token_logits(decoder_of(config, over), HELD_OUT[0])
    assert float((logits - expected).norm() / expected.norm()) < 0.02  # the head is int8, few rows are bf16


def test_int4_at_load_rounds_what_is_not_quantized_and_follows_a_plan() -> None:
    config, tensors = random_moe()
    exact = decoder_of(config, tensors)

    int4 = logits_kl(exact, decoder_of(config, tensors, "int4"), HELD_OUT[0]).mean_kl
    planned = decoder_of(config, tensors, "int4", bits=dict.fromkeys(_layers(tensors), 8))

    assert 0.001 < int4 < 0.2
    assert logits_kl(exact, planned, HELD_OUT[0]).mean_kl < 0.1 * int4


def test_bits_that_are_not_offered_are_refused() -> None:
    config, tensors = random_moe()

    with pytest.raises(ValueError, match=r"bits: must be 4, 8 or 16 \(got 3 for model.layers.0"):
        decoder_of(config, tensors, "int4", bits=dict.fromkeys(_layers(tensors), 3))


def _layers(tensors: dict[str, Tensor]) -> list[str]:
    return [name.removesuffix(".weight") for name in linear_names(tensors)]
