"""What a new token leaves in the cache of latent attention, in one kernel: norm, rotation, storing. Ignores queries.

Shapes: B requests, L latent dim, P rotated dims, S tokens of all pages, R = L + P.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


def store_latents(
    kv_BR: Tensor,
    weight_L: Tensor,
    rope: tuple[Tensor, Tensor],
    entries_1SR: Tensor,
    entry_B: Tensor,
    *,
    eps: float,
    is_interleaved: bool,
) -> None:
    """As `LatentAttention.entries`, from its projection, into entry `entry_B` of each request."""
    cos, signed_sin = rope
    num_latent, num_rotated = len(weight_L), kv_BR.shape[1] - len(weight_L)
    assert kv_BR.stride(1) == entries_1SR.stride(2) == 1
    store_latents_kernel[(len(kv_BR),)](
        kv_BR,
        weight_L,
        cos,
        signed_sin,
        entries_1SR,
        entry_B,
        kv_BR.stride(0),
        entries_1SR.stride(1),
        num_latent,
        num_rotated // 2,
        eps,
        IS_INTERLEAVED=is_interleaved,
        BLOCK_L=triton.next_power_of_2(num_latent),
        BLOCK_P=triton.next_power_of_2(num_rotated // 2),
    )


@triton.jit
def store_latents_kernel(
    kv_ptr,
    weight_ptr,
    cos_ptr,
    sin_ptr,
    entries_ptr,
    entry_ptr,
    kv_stride,
    entry_stride,
    num_latent,
    num_pairs,
    eps,
    IS_INTERLEAVED: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    request = tl.program_id(0).to(tl.int64)
    kind = entries_ptr.dtype.element_ty
    kv_ptr += request * kv_stride
    entries_ptr += tl.load(entry_ptr + request) * entry_stride
    column = tl.arange(0, BLOCK_L)
    is_latent = column < num_latent
    latent = tl.load(kv_ptr + column, mask=is_latent, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + column, mask=is_latent, other=0.0).to(tl.float32)
    latent *= tl.rsqrt(tl.sum(latent * latent, 0) / num_latent + eps) * weight
    tl.store(entries_ptr + column, latent.to(kind), mask=is_latent)

    pair = tl.arange(0, BLOCK_P)
    is_pair = pair < num_pairs
    if IS_INTERLEAVED:
        first, second = 2 * pair, 2 * pair + 1
    else:
        first, second = pair, pair + num_pairs
    a = tl.load(kv_ptr + num_latent + first, mask=is_pair, other=0.0).to(tl.float32)
    b = tl.load(kv_ptr + num_latent + second, mask=is_pair, other=0.0).to(tl.float32)
    angle = request * 2 * num_pairs + num_pairs + pair  # the second half of both tables: cos, and sin as it is
    cos = tl.load(cos_ptr + angle, mask=is_pair, other=0.0).to(tl.float32)
    sin = tl.load(sin_ptr + angle, mask=is_pair, other=0.0).to(tl.float32)
    tl.store(entries_ptr + num_latent + pair, (a * cos - b * sin).to(kind), mask=is_pair)
    tl.store(entries_ptr + num_latent + num_pairs + pair, (b * cos + a * sin).to(kind), mask=is_pair)
