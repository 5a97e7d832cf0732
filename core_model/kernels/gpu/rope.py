"""Rotary positions, pair by pair. Ignores where angles come from.

Shapes: T tokens, X heads, P rotated dimensions.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


def rotate_(x_TXP: Tensor, cos: Tensor, signed_sin: Tensor) -> None:
    """As `core_model.rope.rotate_`, for cos and sin of (T, 1, P)."""
    _rotate(x_TXP, x_TXP, cos, signed_sin, is_interleaved=False)


def rotated_pairs(x_TXP: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """`split_pairs` of x, rotated: pairs that are neighbours come out halves apart; (T, X, P), contiguous."""
    out_TXP = torch.empty(x_TXP.shape, dtype=x_TXP.dtype, device=x_TXP.device)
    _rotate(x_TXP, out_TXP, cos, signed_sin, is_interleaved=True)
    return out_TXP


def _rotate(x_TXP: Tensor, out_TXP: Tensor, cos: Tensor, signed_sin: Tensor, *, is_interleaved: bool) -> None:
    num_tokens, num_heads, dim = x_TXP.shape
    assert x_TXP.stride(2) == out_TXP.stride(2) == 1
    assert cos.is_contiguous()
    assert signed_sin.is_contiguous()
    rotate_kernel[(num_tokens, num_heads)](
        x_TXP,
        out_TXP,
        cos,
        signed_sin,
        x_TXP.stride(0),
        x_TXP.stride(1),
        out_TXP.stride(0),
        out_TXP.stride(1),
        dim // 2,
        IS_INTERLEAVED=is_interleaved,
        BLOCK=triton.next_power_of_2(dim // 2),
    )


@triton.jit
def rotate_kernel(
    x_ptr,
    out_ptr,
    cos_ptr,
    sin_ptr,
    x_token_stride,
    x_head_stride,
    out_token_stride,
    out_head_stride,
    num_pairs,
    IS_INTERLEAVED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    pair = tl.arange(0, BLOCK)
    inside = pair < num_pairs
    x_ptr += token * x_token_stride + head * x_head_stride
    out_ptr += token * out_token_stride + head * out_head_stride
    # In place is safe where halves are apart: a thread writes only what it has read itself.
    first, second = (2 * pair, 2 * pair + 1) if IS_INTERLEAVED else (pair, pair + num_pairs)
    a = tl.load(x_ptr + first, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(x_ptr + second, mask=inside, other=0.0).to(tl.float32)
    angle = token * 2 * num_pairs + num_pairs + pair  # the second half of both tables: cos, and sin as it is
    cos = tl.load(cos_ptr + angle, mask=inside, other=0.0).to(tl.float32)
    sin = tl.load(sin_ptr + angle, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + pair, (a * cos - b * sin).to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(out_ptr + pair + num_pairs, (b * cos + a * sin).to(out_ptr.dtype.element_ty), mask=inside)
