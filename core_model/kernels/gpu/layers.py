"""The decoder's parts over kernels, each in place of the torch one that it is made from. Ignores whole steps.

Shapes: T tokens, D model dim, E experts here, K experts a token, J parts of a sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core_model.attention import LatentAttention
from core_model.config import ModelConfig
from core_model.few_bits import Int4Linear
from core_model.kernels.gpu.matmul import expert_linear, expert_swiglu, linear, swiglu, tile_rows
from core_model.kernels.gpu.norm import add_rms_norm
from core_model.kernels.gpu.rope import rotate_, rotated_pairs
from core_model.kernels.gpu.router import choose_experts, sort_pairs
from core_model.kernels.gpu.stacked import Stacked, has_bias, join, shared_as_experts, stack_experts, stack_linear
from core_model.model import Decoder
from core_model.moe import MLP, MoE
from core_model.norm import RMSNorm
from core_model.quantize import Int8Linear, Linear


class FusedRMSNorm(RMSNorm):
    """`RMSNorm` in one kernel."""

    def __init__(self, norm: RMSNorm) -> None:
        self.weight, self.eps = norm.weight, norm.eps

    def __call__(self, x: Tensor) -> Tensor:
        return add_rms_norm(x.flatten(0, -2), None, self.weight, eps=self.eps)[1].view(x.shape)


class FusedLinear:
    """A layer of few bits, widened inside the product."""

    def __init__(self, weight: Stacked, bias_O: Tensor | None = None) -> None:
        self.weight, self.bias_O = weight, bias_O

    def rounding(self) -> tuple[float, float]:
        """As `QuantizedWeight.rounding`."""
        return self.weight.rounding()

    def __call__(self, x_NI: Tensor) -> Tensor:
        y_NO = linear(x_NI, self.weight)
        return y_NO if self.bias_O is None else y_NO + self.bias_O


class FusedMLP(MLP):
    """An `MLP` of few bits: gate, up and SwiGLU are one kernel."""

    def __init__(self, gate_up: Stacked, down: Stacked) -> None:
        self.gate_up_proj: Linear = FusedLinear(gate_up)
        self.down_proj: Linear = FusedLinear(down)

    def __call__(self, x_TD: Tensor) -> Tensor:
        if isinstance(self.gate_up_proj, FusedLinear):
            return self.down_proj(swiglu(x_TD, self.gate_up_proj.weight))
        return super().__call__(x_TD)  # an adapter is around it


class FusedMoE(MoE):
    """An `MoE` in five kernels: logits, choice, sorting, two products. No step waits for the CPU.

    Shared experts of the experts' kind join them, as experts that every token chooses; adapters cannot reach them then.
    """

    def __init__(self, moe: MoE, gate_up: Stacked, down: Stacked, config: ModelConfig) -> None:
        self.gate, self.here, self.shared_experts = moe.gate, moe.here, moe.shared_experts
        self._gate_up, self._down, self._config, self._num_shared = gate_up, down, config, 0
        shared = shared_as_experts(moe.shared_experts, like=(gate_up, down)) if moe.shared_experts else None
        self._is_complete = len(moe.here) == config.n_routed_experts
        if shared and self._is_complete:
            self._num_shared, self.shared_experts = shared[0].num_experts, None
            self._gate_up, self._down = join(gate_up, shared[0]), join(down, shared[1])
        device = gate_up.values.device
        self._counts_E = torch.zeros(self._gate_up.num_experts, dtype=torch.int64, device=device)

    @property
    def counts(self) -> list[int]:
        counts = [0] * self._config.n_routed_experts
        counts[self.here.start : self.here.stop] = self._counts_E[: len(self.here)].tolist()
        return counts

    def __call__(self, x_TD: Tensor) -> Tensor:
        num_tokens = torch.full((), len(x_TD), dtype=torch.int32, device=x_TD.device)
        return self.parts(x_TD, num_tokens).sum(1)

    def parts(self, x_TD: Tensor, num_tokens: Tensor) -> Tensor:
        """What is to be summed, (T, J, D); only the first `num_tokens` are counted."""
        logits_TE = self.gate.logits(x_TD)[: len(x_TD)]
        chosen = choose_experts(logits_TE, self.gate.correction_E, self._config, num_shared=self._num_shared)
        weights_TK, experts_TK = chosen
        if self.here.start:
            experts_TK = experts_TK - self.here.start
        num_experts = self._gate_up.num_experts
        rows = tile_rows(experts_TK.numel() / num_experts)
        tiles = sort_pairs(
            experts_TK, num_experts=num_experts, rows=rows, counts_E=self._counts_E, num_tokens=num_tokens
        )
        hidden_PF = expert_swiglu(x_TD, self._gate_up, tiles, num_chosen=experts_TK.shape[1])
        out_TKD = expert_linear(hidden_PF, self._down, tiles, weights_TK, is_complete=self._is_complete)
        if self.shared_experts is None:
            return out_TKD
        return torch.cat((out_TKD, self.shared_experts(x_TD).unsqueeze(1)), 1)


def accelerate(decoder: Decoder) -> None:
    """Put kernels in the place of every part that they can stand for; the others stay as they are."""
    for layer in decoder.layers:
        attention = layer.self_attn
        attention.rotate_ = rotate_
        if isinstance(attention, LatentAttention):
            attention.rotated_pairs = rotated_pairs
        _replace_parts(attention)
        layer.mlp = _fused_moe(layer.mlp, decoder.config) if isinstance(layer.mlp, MoE) else _fused_mlp(layer.mlp)
        _replace_parts(layer)
    _replace_parts(decoder)


def _fused_moe(moe: MoE, config: ModelConfig) -> MoE:
    experts = moe.experts
    gate_up, down = stack_experts(experts.gate_up_proj), stack_experts(experts.down_proj)
    is_plain = experts.gate_up_bias_EF is None and not experts.limit
    fused = FusedMoE(moe, gate_up, down, config) if gate_up and down and is_plain else moe
    if fused.shared_experts:
        fused.shared_experts = _fused_mlp(fused.shared_experts)
    return fused


def _fused_mlp(mlp: MLP) -> MLP:
    gate_up, down = stack_linear(mlp.gate_up_proj), stack_linear(mlp.down_proj)
    if gate_up and down and gate_up.bits < 16 and down.bits < 16 and not has_bias(mlp):
        return FusedMLP(gate_up, down)
    _replace_parts(mlp)
    return mlp


def _replace_parts(owner: object) -> None:
    """Norms, and layers of few bits: dense products are PyTorch's."""
    for name, part in vars(owner).items():
        if isinstance(part, RMSNorm):
            setattr(owner, name, FusedRMSNorm(part))
        elif isinstance(part, Int4Linear | Int8Linear) and (weight := stack_linear(part)):
            setattr(owner, name, FusedLinear(weight, part.bias_O))
