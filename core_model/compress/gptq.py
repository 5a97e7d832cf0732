"""GPTQ: round the inputs of a layer one by one, each time moving the error onto inputs not rounded yet.

Ignores where Hessians come from (`calibration.py`). Shapes: O outputs, I inputs, G groups, X inputs of one group.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core_model.compress.rounding import Scheme, fit_grid
from core_model.quantized_weight import QuantizedWeight

_BLOCK = 128  # inputs whose errors are carried to the rest at once


def gptq(
    weight_OI: Tensor, hessian_II: Tensor, *, scheme: Scheme, damping: float = 0.01, act_order: bool = False
) -> QuantizedWeight:
    """Codes that keep the layer's outputs, not its weights (Frantar 2022, arXiv:2210.17323).

    Args:
        weight_OI: Any float dtype.
        hessian_II: Mean of x x^T over calibration inputs x.
        damping: Share of the Hessian's mean diagonal that is added to it; more trusts the calibration less.
        act_order: Round the largest inputs first. Grids are then fitted beforehand, so groups stay neighbours.

    Raises:
        ValueError: damping is not positive, or the Hessian is no such mean.
    """
    if damping <= 0:
        raise ValueError(f"damping: must be above 0 (got {damping}). The paper takes 0.01.")
    num_outputs, num_inputs = weight_OI.shape
    width = scheme.width(num_inputs)
    importance_I = hessian_II.diagonal().float()
    order_I = importance_I.argsort(descending=True) if act_order else torch.arange(num_inputs, device=weight_OI.device)
    columns = _Columns(
        rest_OI=weight_OI.float()[:, order_I],
        carry_II=_carry(hessian_II.float()[order_I][:, order_I], damping),
        codes_OI=torch.empty(num_outputs, num_inputs, dtype=torch.uint8, device=weight_OI.device),
        max_code=scheme.max_code,
    )
    if act_order:
        scale_OG, offset_OG = fit_grid(
            weight_OI.float().view(num_outputs, -1, width), scheme, importance_I=importance_I
        )
    else:
        scale_OG = torch.empty(num_outputs, num_inputs // width, device=weight_OI.device)
        offset_OG = torch.empty_like(scale_OG)
    group_I = order_I // width
    # A grid is fitted when its group's turn comes, to the weights as earlier errors have left them: no block crosses.
    block = width if width <= _BLOCK and not act_order else _BLOCK
    assert act_order or width % block == 0 or width == num_inputs
    for start in range(0, num_inputs, block):
        if not act_order and start % width == 0:
            inputs, group = slice(start, start + width), slice(start // width, start // width + 1)
            rest_OGX = columns.rest_OI[:, None, inputs]
            scale_OG[:, group], offset_OG[:, group] = fit_grid(rest_OGX, scheme, importance_I=importance_I[inputs])
        end = min(start + block, num_inputs)
        columns.round_block(start, end, scale_OG[:, group_I[start:end]], offset_OG[:, group_I[start:end]])
    return QuantizedWeight(columns.codes_OI[:, order_I.argsort()], scale_OG, offset_OG, scheme.bits)


@dataclass(frozen=True)
class _Columns:
    """The work in progress: weights of inputs not rounded yet, and the codes of those that are."""

    rest_OI: Tensor
    carry_II: Tensor
    codes_OI: Tensor
    max_code: int

    def round_block(self, start: int, end: int, scale_OX: Tensor, offset_OX: Tensor) -> None:
        """Round inputs `start` to `end`; errors go at once to the block's rest, and at its end to all others."""
        block_OX, carry_XX = self.rest_OI[:, start:end], self.carry_II[start:end, start:end]
        error_OX = torch.empty_like(block_OX)
        for i in range(end - start):
            scale_O, offset_O = scale_OX[:, i], offset_OX[:, i]
            code_O = ((block_OX[:, i] - offset_O) / scale_O).round_().clamp_(0, self.max_code)
            self.codes_OI[:, start + i] = code_O
            error_OX[:, i] = (block_OX[:, i] - torch.addcmul(offset_O, code_O, scale_O)) / carry_XX[i, i]
            block_OX[:, i + 1 :].addr_(error_OX[:, i], carry_XX[i, i + 1 :], alpha=-1)
        self.rest_OI[:, end:].addmm_(error_OX, self.carry_II[start:end, end:], alpha=-1)


def _carry(hessian_II: Tensor, damping: float) -> Tensor:
    """Upper Cholesky factor of the damped Hessian's inverse: row i says how an error at input i is carried on."""
    diagonal_I = hessian_II.diagonal()
    # An input that was always zero: nothing can be carried to or from it, so it is rounded to nearest.
    hessian_II = hessian_II + torch.diag((diagonal_I == 0).float())
    hessian_II.diagonal().add_(damping * hessian_II.diagonal().mean())
    factor_II, failed = torch.linalg.cholesky_ex(hessian_II)
    if failed or not torch.isfinite(factor_II).all():
        raise ValueError("hessian_II: must be a mean of x x^T (got one that is not positive). Raise damping.")
    carry_II: Tensor = torch.linalg.cholesky(torch.cholesky_inverse(factor_II), upper=True)
    return carry_II
