"""One pass of calibration tokens through a decoder, layer by layer: what each linear layer's inputs are like.

A layer is built when the pass reaches it, seen, replaced, and run again as replaced, so that the next layer's inputs
are those it will really get. Memory: one layer, the tokens' hidden states, and what a layer does with them. Ignores
what the replacement is. Shapes: T tokens, D model dim, N rows, I inputs.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core_model.config import ModelConfig
from core_model.model import Decoder, DecoderLayer, Segment
from core_model.quantize import DenseLinear, Group, GroupedLinear, Linear
from core_model.quantized_weight import Weight
from core_model.weights import Weights


@dataclass(frozen=True)
class Site:
    """Weights that share their inputs, and what these were.

    Attributes:
        names: Of the weights, checkpoint names.
        hessian_II: Sum of x x^T over the inputs x, fp32.
        num_tokens: How many inputs there were.
    """

    names: tuple[str, ...]
    hessian_II: Tensor
    num_tokens: int

    @property
    def mean_hessian(self) -> Tensor:
        """Mean of x x^T, (I, I); zeros if no input came."""
        return self.hessian_II / max(1, self.num_tokens)


Replace = Callable[[int, Sequence[Site]], Mapping[str, Weight]]  # layer, its sites -> new weights and tensors by name


def calibrate(
    config: ModelConfig,
    tensors: Mapping[str, Weight],
    windows: Sequence[Sequence[int]],
    *,
    replace_layer: Replace,
    on_progress: Callable[[float], None] = lambda done: None,
) -> None:
    """Show each layer's sites to `replace_layer`, and go on with what it returns.

    Args:
        tensors: Checkpoint names; may be lazy.
        windows: Token ids, each at most the model's context long.
        replace_layer: May leave out what stays as it is.
        on_progress: Called with the share of layers done, 0-1.

    Raises:
        ValueError: no tokens, or a token that the model does not know.
    """
    if not any(windows):
        raise ValueError("windows: calibration needs token ids (got none). Pass text of the kind the model will see.")
    token_ids = [token for window in windows for token in window]
    if not 0 <= min(token_ids) <= max(token_ids) < config.vocab_size:
        raise ValueError(f"windows: token ids must be 0 to {config.vocab_size - 1} (got {max(token_ids)}).")
    num_layers = config.num_hidden_layers

    def pass_layer(layer_idx: int, x_TD: Tensor, context: Sequence[Any]) -> Tensor:
        observed: dict[tuple[str, ...], _Sum] = {}
        DecoderLayer(config, _Observing(tensors, observed), layer_idx)(x_TD, *context)
        sites = [Site(names, sums.hessian_II, sums.num_tokens) for names, sums in observed.items()]
        replaced = ChainMap(dict(replace_layer(layer_idx, sites)), _mutable(tensors))
        y_TD: Tensor = DecoderLayer(config, Weights(replaced, precision="fp32"), layer_idx)(x_TD, *context)
        on_progress((layer_idx + 1) / num_layers)
        return y_TD

    stages: Any = [_Stage(pass_layer, i) for i in range(num_layers)]
    decoder = Decoder(config, _Observing(tensors, {}), layers=stages)
    decoder(torch.tensor(token_ids), [Segment(len(window)) for window in windows if window])


class _Stage:
    """Stands in for a decoder layer; whatever the layers' context is, it is handed on."""

    def __init__(self, pass_layer: Callable[[int, Tensor, Sequence[Any]], Tensor], layer_idx: int) -> None:
        self._pass_layer, self._layer_idx = pass_layer, layer_idx

    def __call__(self, x_TD: Tensor, *context: Any) -> Tensor:
        return self._pass_layer(self._layer_idx, x_TD, context)


class _Sum:
    """Grows by each batch of inputs."""

    def __init__(self, num_inputs: int) -> None:
        self.hessian_II, self.num_tokens = torch.zeros(num_inputs, num_inputs), 0

    def add(self, x_NI: Tensor) -> None:
        self.hessian_II.addmm_(x_NI.T, x_NI)
        self.num_tokens += len(x_NI)


class _Observing(Weights):
    """Gives fp32 layers that add their inputs to `observed`, by the names of their weights."""

    def __init__(self, tensors: Mapping[str, Weight], observed: dict[tuple[str, ...], _Sum]) -> None:
        super().__init__(tensors, precision="fp32")
        self._observed = observed

    def linear(self, prefix: str, *parts: str, bias: bool = False) -> Linear:
        if not prefix:  # the head, which is not used here: no copy in fp32
            return DenseLinear(self.stored(f"{parts[0]}.weight"))
        names = tuple(f"{prefix}.{part}.weight" for part in parts)
        return _ObservedLinear(super().linear(prefix, *parts, bias=bias), self._sum(names))

    def grouped_linear(self, prefixes: Sequence[str], *parts: str, rows_per_token: int) -> GroupedLinear:
        experts = [tuple(f"{prefix}.{part}.weight" for part in parts) for prefix in prefixes]
        inner = super().grouped_linear(prefixes, *parts, rows_per_token=rows_per_token)
        return _ObservedExperts(inner, [self._sum(names) for names in experts])

    def stacked_linear(
        self, name: str, *, num_experts: int, rows_per_token: int, interleaved: int = 1
    ) -> GroupedLinear:
        raise ValueError(f"{name}: experts stacked in one tensor are not calibrated. Split it, or use method 'rtn'.")

    def _sum(self, names: tuple[str, ...]) -> _Sum:
        self._observed[names] = _Sum(self._tensors[names[0]].shape[1])
        return self._observed[names]


class _ObservedLinear:
    def __init__(self, linear: Linear, inputs: _Sum) -> None:
        self._linear, self._inputs = linear, inputs

    def __call__(self, x_NI: Tensor) -> Tensor:
        self._inputs.add(x_NI)
        return self._linear(x_NI)


class _ObservedExperts:
    def __init__(self, experts: GroupedLinear, inputs: Sequence[_Sum]) -> None:
        self._experts, self._inputs = experts, inputs

    def __call__(self, x_NI: Tensor, groups: Sequence[Group]) -> Tensor:
        for expert, start, end in groups:
            self._inputs[expert].add(x_NI[start:end])
        return self._experts(x_NI, groups)


def _mutable(tensors: Mapping[str, Weight]) -> Any:
    """ChainMap's type asks for mutable maps and writes only to the first."""
    return tensors
