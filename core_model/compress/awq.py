"""AWQ: make the inputs that matter larger before rounding, and undo it in the layer before. Ignores the rounding.

An input channel with large activations gets s > 1: its weights are multiplied by s, so they round finer relative to
their size, and the norm or projection that makes the channel is divided by s. Before rounding nothing changes.
Shapes: O outputs, I inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence

import torch
from torch import Tensor

from core_model.compress.calibration import Site
from core_model.compress.coverage import ROUTERS
from core_model.compress.rounding import Scheme, round_to_nearest

ALPHAS = tuple(i / 10 for i in range(10))  # 0 leaves a layer as it is
_NORM_READERS = {
    "input_layernorm": ("q_proj", "k_proj", "v_proj", "q_a_proj", "kv_a_proj_with_mqa"),
    "post_attention_layernorm": ("gate_proj", "up_proj", "w1", "w3"),
}
_UP_OF = {"down_proj": "up_proj", "w2": "w3"}


def scale_inputs(
    prefix: str, weights: MutableMapping[str, Tensor], sites: Sequence[Site], *, scheme: Scheme
) -> list[Site]:
    """Activation-aware scaling of one decoder layer (Lin 2023, arXiv:2306.00978).

    Scales go into the norms before attention and feed-forward, and into up_proj before down_proj; the router reads the
    second norm too, and so is scaled back. The output projection is left alone: value heads that several query heads
    share allow no scale of their own. The paper's clipping is `round_to_nearest`'s `importance_I`.

    Args:
        prefix: Of the layer, "model.layers.3".
        weights: fp32 weights of the sites by name, and the layer's norms and router in the dtype they are stored in;
            scaled in place.
        scheme: What the weights will be rounded to.

    Returns:
        The sites with the Hessians of their scaled inputs.
    """
    scaled = {site.names: site for site in sites}
    for norm, parts in _NORM_READERS.items():
        name = f"{prefix}.{norm}.weight"
        readers = [site for site in scaled.values() if all(_part(weight) in parts for weight in site.names)]
        if name not in weights or not readers:
            continue
        norm_I = weights[name]
        wanted_I = _best_scale(weights, readers, scheme)
        # The norm is rounded to its own dtype first, and the scale is then what that leaves: the fold stays exact.
        weights[name] = torch.where(norm_I == 0, norm_I, norm_I / wanted_I).to(norm_I.dtype)
        scale_I = torch.where(weights[name] == 0, 1.0, norm_I.float() / weights[name].float())
        scaled |= _scale_readers(weights, readers, scale_I)
        if norm == "post_attention_layernorm":
            for router in [name for name in weights if name.endswith(ROUTERS)]:
                weights[router] = weights[router].float() * scale_I
    for site in [site for site in scaled.values() if _part(site.names[0]) in _UP_OF]:
        down = _part(site.names[0])
        up = site.names[0].replace(down, _UP_OF[down])
        if up in weights and f"{up.removesuffix('.weight')}.bias" not in weights:
            scale_I = _best_scale(weights, [site], scheme)
            weights[up] = weights[up] / scale_I.unsqueeze(-1)
            scaled |= _scale_readers(weights, [site], scale_I)
    return list(scaled.values())


def output_error(weight_OI: Tensor, changed_OI: Tensor, hessian_II: Tensor) -> float:
    """Squared error of the layer's outputs over the inputs that the Hessian sums: tr(E H E^T)."""
    error_OI = changed_OI - weight_OI
    return float((error_OI @ hessian_II).mul_(error_OI).sum())


def _best_scale(weights: Mapping[str, Tensor], readers: Sequence[Site], scheme: Scheme) -> Tensor:
    """rms(x)^alpha with the alpha whose rounding harms the readers' outputs least."""
    total_II = torch.stack([site.hessian_II.diagonal() for site in readers]).sum(0)
    rms_I = (total_II / max(1, sum(site.num_tokens for site in readers))).sqrt().clamp(min=1e-4)
    best_I, least = torch.ones_like(rms_I), float("inf")
    for alpha in ALPHAS:
        scale_I = rms_I**alpha
        scale_I = scale_I / (scale_I.max() * scale_I.min()).sqrt()
        error = 0.0
        for site in readers:
            for name in site.names if site.num_tokens else ():
                rounded_OI = round_to_nearest(weights[name] * scale_I, scheme).dequantize().div_(scale_I)
                error += output_error(weights[name], rounded_OI, site.hessian_II)
        if error < least:
            best_I, least = scale_I, error
    return best_I


def _scale_readers(
    weights: MutableMapping[str, Tensor], readers: Sequence[Site], scale_I: Tensor
) -> dict[tuple[str, ...], Site]:
    for site in readers:
        for name in site.names:
            weights[name] = weights[name] * scale_I
    outer_II = torch.outer(scale_I, scale_I)
    return {site.names: Site(site.names, site.hessian_II / outer_II, site.num_tokens) for site in readers}


def _part(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]
