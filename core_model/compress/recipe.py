"""A checkpoint in few bits by a recipe: round to nearest, AWQ, GPTQ, or AWQ then GPTQ. Ignores files and text.

Layer by layer: calibration shows a layer's inputs, AWQ may scale them, each weight gets its codes, and the next layer
sees inputs that come from codes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from core_model.compress.awq import scale_inputs
from core_model.compress.calibration import Site, calibrate
from core_model.compress.coverage import Coverage, linear_names, measure_coverage
from core_model.compress.gptq import gptq
from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.config import ModelConfig
from core_model.quantized_weight import QuantizedWeight, Weight

Method = Literal["rtn", "awq", "gptq", "awq+gptq"]
METHODS: tuple[Method, ...] = ("rtn", "awq", "gptq", "awq+gptq")


@dataclass(frozen=True)
class Recipe:
    """How to quantize.

    Attributes:
        method: One of METHODS; "rtn" needs no calibration.
        scheme: Of all linear layers in the decoder layers; embeddings, head, norms and routers stay as they are.
        bits: Other bits for weights by layer name (without `.weight`): 8 means int8 per output, 16 leaves one alone.
        damping, act_order: See `gptq`; on the embedded model the order is worth a third of GPTQ's error.

    Raises:
        ValueError: an unknown method.
    """

    method: Method = "gptq"
    scheme: Scheme = field(default_factory=Scheme)
    bits: Mapping[str, int] = field(default_factory=dict)
    damping: float = 0.01
    act_order: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method: must be one of {', '.join(METHODS)} (got {self.method!r}).")

    def scheme_of(self, name: str) -> Scheme | None:
        """The scheme of weight `name`; None leaves it alone."""
        bits = self.bits.get(name.removesuffix(".weight"), self.scheme.bits)
        if bits == self.scheme.bits:
            return self.scheme
        return None if bits == 16 else replace(self.scheme, bits=bits, group_size=None)


@dataclass(frozen=True)
class Undertrained:
    """Weights whose calibration inputs were fewer than their number of inputs: their Hessian says too little."""

    names: tuple[str, ...]
    num_tokens: int
    num_inputs: int


class UndertrainedExperts(UserWarning):
    """Some weights saw too little calibration text and were rounded to nearest; `found` says which."""

    def __init__(self, found: Sequence[Undertrained]) -> None:
        self.found = tuple(found)
        few = min(found, key=lambda one: one.num_tokens)
        super().__init__(
            f"calibration: {len(found)} groups of weights had fewer tokens than inputs and were rounded to nearest; "
            f"{few.names[0]} had {few.num_tokens} for {few.num_inputs}. Calibrate with more, or more varied, text."
        )


@dataclass(frozen=True)
class Quantized:
    """The result.

    Attributes:
        weights: By checkpoint name.
        tensors: Changed tensors that are not quantized (AWQ's norms and routers).
        coverage: What share of bytes is quantized.
        undertrained: What was rounded to nearest for want of calibration; empty for "rtn" and "awq".
    """

    weights: dict[str, QuantizedWeight]
    tensors: dict[str, Tensor]
    coverage: Coverage
    undertrained: tuple[Undertrained, ...] = ()

    def over(self, tensors: Mapping[str, Weight]) -> dict[str, Weight]:
        """The whole checkpoint: `tensors` with the results in their places."""
        return {**tensors, **self.tensors, **self.weights}


def quantize_model(
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    recipe: Recipe,
    *,
    windows: Sequence[Sequence[int]] = (),
    on_progress: Callable[[float], None] = lambda done: None,
) -> Quantized:
    """Quantize a checkpoint's linear layers.

    Args:
        tensors: Checkpoint names; may be lazy: one layer is held at a time, beside the results.
        windows: Calibration tokens; not needed for "rtn". A few thousand tokens for each expert are plenty.

    Raises:
        ValueError: no calibration tokens, a group size that does not divide, or linear weights that were left out
            though the recipe does not say so.

    Warns:
        UndertrainedExperts: weights that calibration hardly reached.
    """
    weights: dict[str, QuantizedWeight] = {}
    changed: dict[str, Tensor] = {}
    undertrained: list[Undertrained] = []
    if recipe.method == "rtn":
        for name in linear_names(tensors):
            if scheme := recipe.scheme_of(name):
                weights[name] = _rounded(name, tensors[name], scheme)
    else:

        def replace_layer(layer_idx: int, sites: Sequence[Site]) -> Mapping[str, Weight]:
            layer = _Layer(f"model.layers.{layer_idx}", tensors, sites)
            if "awq" in recipe.method:
                layer.scale(recipe.scheme)
            found, few = layer.codes(recipe)
            weights.update(found)
            changed.update(layer.changed)
            undertrained.extend(few)
            return {**layer.weights, **found}

        calibrate(config, tensors, windows, replace_layer=replace_layer, on_progress=on_progress)
    coverage = measure_coverage(tensors, weights)
    wanted = [name for name in linear_names(tensors) if recipe.scheme_of(name)]
    measure_coverage({name: tensors[name] for name in wanted}, weights).require()
    if undertrained:
        warnings.warn(UndertrainedExperts(undertrained), stacklevel=2)
    return Quantized(weights, changed, coverage, tuple(undertrained))


class _Layer:
    """One decoder layer's weights on their way to codes."""

    def __init__(self, prefix: str, tensors: Mapping[str, Tensor], sites: Sequence[Site]) -> None:
        self._prefix, self._tensors, self._sites = prefix, tensors, list(sites)
        self.weights = {name: tensors[name].float() for site in sites for name in site.names}
        self.changed: dict[str, Tensor] = {}

    def scale(self, scheme: Scheme) -> None:
        """AWQ; what is not a linear weight and changed with it is in `changed`."""
        kept = [name for name in self._tensors if name.startswith(f"{self._prefix}.") and name not in self.weights]
        layer = {**self.weights, **{name: self._tensors[name] for name in kept}}
        before = dict(layer)
        self._sites = scale_inputs(self._prefix, layer, self._sites, scheme=scheme)
        self.changed = {name: layer[name] for name in kept if layer[name] is not before[name]}
        self.weights = {name: layer[name] for name in layer if name in self.weights or name in self.changed}

    def codes(self, recipe: Recipe) -> tuple[dict[str, QuantizedWeight], list[Undertrained]]:
        """Codes of each weight, and the sites that had too few tokens for GPTQ."""
        found: dict[str, QuantizedWeight] = {}
        few: list[Undertrained] = []
        for site in self._sites:
            num_inputs = len(site.hessian_II)
            reached = site.num_tokens >= num_inputs
            if "gptq" in recipe.method and not reached:
                few.append(Undertrained(site.names, site.num_tokens, num_inputs))
            for scheme, names in _by_scheme(site.names, recipe).items():
                weight_OI = torch.cat([self.weights[name] for name in names])
                if "gptq" in recipe.method and reached:
                    options = {"damping": recipe.damping, "act_order": recipe.act_order}
                    whole = gptq(weight_OI, site.mean_hessian, scheme=scheme, **options)  # type: ignore[arg-type]
                elif site.num_tokens:
                    importance_I = site.hessian_II.diagonal() / site.num_tokens
                    whole = round_to_nearest(weight_OI, scheme, importance_I=importance_I)
                else:
                    whole = round_to_nearest(weight_OI, scheme)
                sizes = [len(self.weights[name]) for name in names]
                found |= dict(zip(names, _split(whole, sizes), strict=True))
        return found, few


def _by_scheme(names: Sequence[str], recipe: Recipe) -> dict[Scheme, list[str]]:
    grouped: dict[Scheme, list[str]] = {}
    for name in names:
        if scheme := recipe.scheme_of(name):
            grouped.setdefault(scheme, []).append(name)
    return grouped


def _split(whole: QuantizedWeight, sizes: Sequence[int]) -> list[QuantizedWeight]:
    parts = (torch.split(part, list(sizes)) for part in (whole.codes_OI, whole.scale_OG, whole.offset_OG))
    return [
        QuantizedWeight(codes.clone(), s.clone(), o.clone(), whole.bits) for codes, s, o in zip(*parts, strict=True)
    ]


def _rounded(name: str, weight: Tensor, scheme: Scheme) -> QuantizedWeight:
    if weight.ndim != 2:
        raise ValueError(f"{name}: has {weight.ndim} dimensions; experts must be one tensor each. Split it first.")
    return round_to_nearest(weight, scheme)
