"""How much rounding to few bits moved the weights that serve, told by their grids. Ignores what it does to answers.

The weights as they were are not in memory any more. Rounding to nearest moves each by something uniform within half a
step, so its mean square is step**2 / 12 (Bennett 1948); over the mean square of the rounded weights that is the
relative error. Methods that move codes on purpose (GPTQ, AWQ) are a little further from their originals than that.
What rounding does to answers, the nightly measures (KL divergence from the exact model).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol, runtime_checkable

import torch

from core_model.adapter_bank import AdaptedLinear
from core_model.attention import GroupedQueryAttention, LatentAttention
from core_model.few_bits import CodesLinear, Int4GroupedLinear, Int4Linear, OneByOne, SideBySide
from core_model.model import Decoder
from core_model.moe import MLP, Experts, MoE
from core_model.quantize import Int8GroupedLinear, Int8Linear
from core_model.rebalance import Rebalanced
from core_model.runner import ModelRunner


@runtime_checkable
class Rounded(Protocol):
    """A weight in few bits."""

    def rounding(self) -> tuple[float, float]:
        """What rounding adds, and what the weights have: sums of squares."""


@dataclass(frozen=True)
class ServedWeights:
    """What the weights that serve are like.

    Attributes:
        rounding_errors: By layer, root mean square over that of the weights; 0 where none are rounded.
        num_experts_per_tok: 0 for a dense model.
    """

    rounding_errors: dict[int, float]
    num_experts_per_tok: int


def describe_weights(engine: Rebalanced) -> ServedWeights:
    """Of a running engine, between two of its steps; a fraction of a second.

    Raises:
        EngineStopped: it is not running.
    """
    found: list[ServedWeights] = []

    def look(runner: ModelRunner) -> None:
        config = runner.decoder.config
        num_experts_per_tok = config.num_experts_per_tok if config.n_routed_experts else 0
        found.append(ServedWeights(rounding_errors(runner.decoder), num_experts_per_tok))

    engine.between_steps(look)
    return found[-1]


@torch.inference_mode()
def rounding_errors(decoder: Decoder) -> dict[int, float]:
    """By layer; from a sample of each matrix's rows."""
    errors = {}
    for layer_idx, layer in enumerate(decoder.layers):
        parts = [weight.rounding() for weight in _rounded((layer.self_attn, layer.mlp))]
        noise, energy = (sum(part[k] for part in parts) for k in range(2))
        errors[layer_idx] = sqrt(noise / energy) if energy else 0.0
    return errors


def _rounded(parts: Iterable[Any]) -> Iterator[Rounded]:
    """The rounded weights in these, however deep."""
    for part in parts:
        if isinstance(part, Rounded):
            yield part
        elif isinstance(part, list):
            yield from _rounded(part)
        elif isinstance(part, _HOLDERS):
            yield from _rounded(vars(part).values())


_HOLDERS = (
    *(MLP, MoE, Experts, GroupedQueryAttention, LatentAttention, SideBySide, OneByOne, CodesLinear),
    *(AdaptedLinear, Int8Linear, Int8GroupedLinear, Int4Linear, Int4GroupedLinear),
)
