"""Which layers deserve 8 bits when 4 are too few for some: measured harm, and a choice under a budget of bytes.

Harm is the KL divergence from the plain model when a part of one layer alone is rounded to the low bits. It is taken to
add up over parts, and to vanish at 8 bits. Ignores interactions between layers. Shapes: T tokens, V vocabulary.
"""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from core_model.compress.coverage import linear_names
from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.config import ModelConfig
from core_model.evaluate import token_kl
from core_model.model import Decoder, DecoderLayer, Segment
from core_model.weights import INT8, Weights

_HIGH_BITS = INT8.bits


@dataclass(frozen=True)
class Part:
    """Linear layers of one decoder layer that get the same bits: its attention, its dense network or its experts.

    Attributes:
        layers: Names without `.weight`.
        harm: Mean KL in nats when these alone have the low bits.
        low_bytes, high_bytes: Size in low bits and in int8, scales included.
    """

    name: str
    layers: tuple[str, ...]
    harm: float
    low_bytes: int
    high_bytes: int


@dataclass(frozen=True)
class Plan:
    """Bits by layer name, as `Recipe.bits` and `Weights` take them.

    Attributes:
        bits: Only of layers with 8; the others have the scheme's.
        num_bytes: Of all parts as planned; at most `budget_bytes`.
        harm: Sum of the harm that is left, in nats.
    """

    bits: dict[str, int]
    num_bytes: int
    budget_bytes: int
    harm: float

    def to_json(self) -> str:
        """Readable JSON."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """What `to_json` wrote.

        Raises:
            ValueError: something else.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise ValueError(f"plan: not a plan of bits ({error}). Make it again.") from error


def choose_bits(parts: Sequence[Part], *, budget_bytes: int) -> Plan:
    """Give 8 bits to the parts whose harm is largest for the bytes that avoiding it costs, while the budget lasts.

    Raises:
        ValueError: the budget is less than everything in low bits takes.
    """
    num_bytes, harm = sum(part.low_bytes for part in parts), sum(part.harm for part in parts)
    if num_bytes > budget_bytes:
        raise ValueError(f"budget_bytes: the low bits alone take {num_bytes} bytes (got {budget_bytes}). Allow more.")
    bits: dict[str, int] = {}
    for part in sorted(parts, key=lambda part: part.harm / max(1, part.high_bytes - part.low_bytes), reverse=True):
        extra = part.high_bytes - part.low_bytes
        if part.harm > 0 and num_bytes + extra <= budget_bytes:
            bits |= dict.fromkeys(part.layers, _HIGH_BITS)
            num_bytes, harm = num_bytes + extra, harm - part.harm
    return Plan(bits, num_bytes, budget_bytes, harm)


def measure_parts(
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    windows: Sequence[Sequence[int]],
    *,
    scheme: Scheme,
    on_progress: Callable[[float], None] = lambda done: None,
) -> list[Part]:
    """Round each part of each layer alone, and see how far the predictions after `windows` move.

    Args:
        windows: Token ids; some hundreds of tokens in all rank the parts well.
        scheme: The low bits.

    Raises:
        ValueError: no tokens.
    """
    if not any(windows):
        raise ValueError("windows: measuring needs token ids (got none). Pass text of the kind the model will see.")
    weights = Weights(tensors, precision="fp32")
    states: list[tuple[Tensor, tuple[Any, ...]]] = []
    layers = [DecoderLayer(config, weights, i) for i in range(config.num_hidden_layers)]
    taps: Any = [_Tap(layer, states) for layer in layers]
    decoder = Decoder(config, weights, layers=taps)
    ids_T = torch.tensor([token for window in windows for token in window])
    hidden_TD = decoder(ids_T, [Segment(len(window)) for window in windows if window])
    expected_TV = decoder.logits(hidden_TD).log_softmax(-1)
    found = []
    for layer_idx, (name, part) in (named := _parts(tensors, config.num_hidden_layers)):
        x_TD, context = states[layer_idx]
        rounded = {weight: round_to_nearest(tensors[weight], scheme) for weight in part}
        over: Any = ChainMap(rounded, tensors)  # type: ignore[arg-type]
        x_TD = DecoderLayer(config, Weights(over, precision="fp32"), layer_idx)(x_TD, *context)
        for later in layers[layer_idx + 1 :]:
            x_TD = later(x_TD, *context)
        found_TV = decoder.logits(decoder.norm(x_TD)).log_softmax(-1)
        harm = float(token_kl(expected_TV, found_TV).mean())
        sizes = [tensors[weight].shape for weight in part]
        found.append(
            Part(
                name,
                tuple(weight.removesuffix(".weight") for weight in part),
                max(0.0, harm),
                low_bytes=sum(_num_bytes(size, scheme) for size in sizes),
                high_bytes=sum(_num_bytes(size, INT8) for size in sizes),
            )
        )
        on_progress(len(found) / len(named))
    return found


class _Tap:
    """A layer whose inputs are kept."""

    def __init__(self, layer: DecoderLayer, states: list[tuple[Tensor, tuple[Any, ...]]]) -> None:
        self._layer, self._states = layer, states

    def __call__(self, x_TD: Tensor, *context: Any) -> Tensor:
        self._states.append((x_TD, context))
        return self._layer(x_TD, *context)


def _parts(tensors: Mapping[str, Tensor], num_layers: int) -> list[tuple[int, tuple[str, list[str]]]]:
    named: dict[tuple[int, str], list[str]] = {}
    for weight in linear_names(tensors):
        _, _, layer_idx, kind, *_ = weight.split(".")
        kind = f"{kind}.experts" if ".experts." in weight else kind
        if int(layer_idx) < num_layers:  # a checkpoint may hold further layers that predict more tokens at once
            named.setdefault((int(layer_idx), kind), []).append(weight)
    return [(idx, (f"model.layers.{idx}.{kind}", weights)) for (idx, kind), weights in sorted(named.items())]


def _num_bytes(shape: Sequence[int], scheme: Scheme) -> int:
    outputs, inputs = shape
    return round(outputs * inputs * scheme.bits_per_weight(inputs) / 8)
