"""Root mean square normalisation, with the addition to the residual stream before it. Ignores what they are for.

Shapes: T tokens, D dim, J parts of a sum. One program a row: a row fits into registers.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


def add_rms_norm(x_TD: Tensor, delta: Tensor | None, weight_D: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    """x + delta, and its `F.rms_norm`; without a delta, x itself and its norm.

    Args:
        delta: (T, D), or (T, J, D) to be summed over J; contiguous.
    """
    num_rows, dim = x_TD.shape
    assert x_TD.stride(1) == 1
    assert delta is None or delta.is_contiguous()
    normed_TD = torch.empty_like(x_TD, memory_format=torch.contiguous_format)
    sum_TD = x_TD if delta is None else torch.empty_like(normed_TD)
    add_rms_norm_kernel[(num_rows,)](
        x_TD,
        x_TD if delta is None else delta,
        weight_D,
        sum_TD,
        normed_TD,
        x_TD.stride(0),
        dim,
        eps,
        PARTS=0 if delta is None else delta.numel() // x_TD.numel(),
        BLOCK=triton.next_power_of_2(dim),
    )
    return sum_TD, normed_TD


@triton.jit
def add_rms_norm_kernel(
    x_ptr,
    delta_ptr,
    weight_ptr,
    sum_ptr,
    normed_ptr,
    x_stride,
    dim,
    eps,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < dim
    x = tl.load(x_ptr + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    if PARTS > 0:
        for part in tl.static_range(PARTS):
            at = (row * PARTS + part) * dim + column
            x += tl.load(delta_ptr + at, mask=inside, other=0.0).to(tl.float32)
        x = x.to(sum_ptr.dtype.element_ty)
        tl.store(sum_ptr + row * dim + column, x, mask=inside)
        x = x.to(tl.float32)  # as rounded as what the next layer adds to
    weight = tl.load(weight_ptr + column, mask=inside, other=0.0).to(tl.float32)
    normed = x * tl.rsqrt(tl.sum(x * x, 0) / dim + eps) * weight
    tl.store(normed_ptr + row * dim + column, normed.to(normed_ptr.dtype.element_ty), mask=inside)
