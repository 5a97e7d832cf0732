"""Products with many experts' weights at once, widened from 4 or 8 bits on the way. Ignores who chose the experts.

A program computes some outputs of one tile: rows of one expert, as many as there are and no padding. The weights are
the left factor, so that few rows waste little: tensor cores take 64 outputs at a time, but as few as 8 rows.
Shapes: T tokens, K experts a token, P = T * K pairs sorted by expert, I inputs, O outputs, F hidden units.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from core_model.kernels.gpu.router import Tiles
from core_model.kernels.gpu.stacked import Stacked

_PROGRAMS = 264  # two for each of an H200's multiprocessors: fewer leave some idle
_MOST_ROWS = 64


def linear(x_TI: Tensor, weight: Stacked) -> Tensor:
    """x W^T of a plain layer, (T, O)."""
    out_TO = x_TI.new_empty(len(x_TI), weight.num_outputs)
    _multiply(x_TI, weight, out_TO, rows=tile_rows(len(x_TI)))
    return out_TO


def swiglu(x_TI: Tensor, weight: Stacked) -> Tensor:
    """silu(x W_gate^T) * (x W_up^T) of a plain layer, (T, F); the weight holds the gate's outputs, then the others."""
    out_TF = x_TI.new_empty(len(x_TI), weight.num_outputs // 2)
    _multiply(x_TI, weight, out_TF, rows=tile_rows(len(x_TI)), is_gated=True)
    return out_TF


def expert_swiglu(x_TI: Tensor, weight: Stacked, tiles: Tiles, *, num_chosen: int) -> Tensor:
    """`swiglu` of each pair's token by its expert, in the order of the tiles, (P, F)."""
    out_PF = x_TI.new_empty(len(tiles.pair_P), weight.num_outputs // 2)
    _multiply(x_TI, weight, out_PF, rows=tiles.rows, tiles=tiles, is_gated=True, num_chosen=num_chosen)
    return out_PF


def expert_linear(
    x_PI: Tensor, weight: Stacked, tiles: Tiles, weights_TK: Tensor, *, is_complete: bool = True
) -> Tensor:
    """Rows in the order of the tiles, each through its expert and times its pair's weight: (T, K, O), pairs in order.

    Args:
        is_complete: Each pair has a tile; else those of experts that are elsewhere come out 0.
    """
    new = x_PI.new_empty if is_complete else x_PI.new_zeros
    out_TKO = new(*weights_TK.shape, weight.num_outputs)
    _multiply(x_PI, weight, out_TKO.flatten(0, 1), rows=tiles.rows, tiles=tiles, weights_TK=weights_TK)
    return out_TKO


def tile_rows(num_rows: float) -> int:
    """Rows of a tile for so many rows an expert: a power of 2, 8 to 64."""
    return max(8, min(_MOST_ROWS, 1 << int(num_rows - 1).bit_length())) if num_rows > 1 else 8


def _multiply(
    x: Tensor,
    weight: Stacked,
    out: Tensor,
    *,
    rows: int,
    tiles: Tiles | None = None,
    weights_TK: Tensor | None = None,
    is_gated: bool = False,
    num_chosen: int = 0,
) -> None:
    assert x.stride(-1) == 1
    assert x.shape[-1] == weight.num_inputs
    num_tiles = triton.cdiv(len(x), rows) if tiles is None else len(tiles.tile_N3)
    num_outputs = out.shape[-1]
    outputs, most_inputs, warps = block_shape(weight.bits, rows, item_bytes=x.element_size())
    while outputs > 16 and num_tiles * triton.cdiv(num_outputs, outputs) < _PROGRAMS:
        outputs //= 2
    inputs, group = _block_inputs(weight.num_inputs, weight.group_size, most=most_inputs)
    multiply_kernel[(num_tiles, triton.cdiv(num_outputs, outputs))](
        x,
        weight.values,
        weight.values if weight.scale_EGO is None else weight.scale_EGO,
        weight.values if weight.middle_EGO is None else weight.middle_EGO,
        out,
        x if tiles is None else tiles.pair_P,
        x if tiles is None else tiles.tile_N3,
        x if weights_TK is None else weights_TK,
        len(x),
        weight.num_inputs,
        num_outputs,
        weight.num_outputs,
        x.stride(0),
        out.stride(0),
        BITS=weight.bits,
        GROUP=group,
        GROUP_SIZE=weight.group_size,
        HAS_MIDDLE=weight.middle_EGO is not None,
        HAS_TILES=tiles is not None,
        NUM_CHOSEN=num_chosen,
        HAS_WEIGHTS=weights_TK is not None,
        IS_GATED=is_gated,
        IS_EVEN=weight.num_inputs % inputs == 0,
        ROWS=rows,
        OUTPUTS=outputs,
        INPUTS=inputs,
        num_warps=warps,
        num_stages=4,
    )


def block_shape(bits: int, rows: int, *, item_bytes: int) -> tuple[int, int, int]:
    """(outputs, inputs, warps) of a program: as much as shared memory and registers hold with four stages.

    Args:
        item_bytes: Of an activation.
    """
    if rows == _MOST_ROWS:
        return 128, (128 if bits == 16 else 256) // item_bytes, 8
    return 64, (512 if bits == 4 else 256) // item_bytes, 4


def _block_inputs(num_inputs: int, group_size: int, *, most: int) -> tuple[int, int]:
    """Inputs that are multiplied at once, and how many of them share a scale: powers of 2, whole or parts of groups."""
    fits = min(most, max(16, triton.next_power_of_2(num_inputs)))
    if group_size == num_inputs:
        return fits, fits
    power = group_size & -group_size  # the largest that divides it
    inputs = fits if power == group_size else min(fits, power)
    return inputs, min(inputs, power)


@triton.jit
def multiply_kernel(
    x_ptr,
    values_ptr,
    scale_ptr,
    middle_ptr,
    out_ptr,
    pair_ptr,
    tile_ptr,
    weights_ptr,
    num_rows,
    num_inputs,
    num_outputs,
    num_stored,  # outputs of the stored weight: twice as many where a gate comes first
    x_stride,
    out_stride,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    GROUP_SIZE: tl.constexpr,
    HAS_MIDDLE: tl.constexpr,
    HAS_TILES: tl.constexpr,
    NUM_CHOSEN: tl.constexpr,
    HAS_WEIGHTS: tl.constexpr,
    IS_GATED: tl.constexpr,
    IS_EVEN: tl.constexpr,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    tile = tl.program_id(0)
    expert, first, end = tile * 0, tile * ROWS, num_rows
    if HAS_TILES:
        expert = tl.load(tile_ptr + tile * 3)
        if expert < 0:
            return
        first, end = tl.load(tile_ptr + tile * 3 + 1), tl.load(tile_ptr + tile * 3 + 2)
    row = first + tl.arange(0, ROWS)
    is_row = row < end
    pair = tl.load(pair_ptr + row, mask=is_row, other=0) if HAS_TILES else row
    source = pair // NUM_CHOSEN if NUM_CHOSEN > 0 else row
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    is_output = output < num_outputs
    x_rows = x_ptr + source.to(tl.int64)[None, :] * x_stride

    kind = x_ptr.dtype.element_ty
    total = tl.zeros([OUTPUTS, ROWS], tl.float32)
    gate = tl.zeros([OUTPUTS, ROWS], tl.float32)
    for start in range(0, num_inputs, INPUTS):
        at = start + tl.arange(0, INPUTS)
        is_x = is_row[None, :] if IS_EVEN else is_row[None, :] & (at < num_inputs)[:, None]
        x = tl.load(x_rows + at[:, None], mask=is_x, other=0.0)
        if IS_GATED:
            weight = load_weight(
                values_ptr, scale_ptr, middle_ptr, expert, num_stored, num_inputs, output, is_output, start,
                BITS, GROUP, GROUP_SIZE, HAS_MIDDLE, IS_EVEN, OUTPUTS, INPUTS,
            )  # fmt: skip
            gate = tl.dot(weight.to(kind), x, gate, input_precision="ieee")
        weight = load_weight(
            values_ptr, scale_ptr, middle_ptr, expert, num_stored, num_inputs,
            output + num_outputs if IS_GATED else output, is_output, start,
            BITS, GROUP, GROUP_SIZE, HAS_MIDDLE, IS_EVEN, OUTPUTS, INPUTS,
        )  # fmt: skip
        total = tl.dot(weight.to(kind), x, total, input_precision="ieee")
    if IS_GATED:
        total *= gate / (1 + tl.exp(-gate))
    if HAS_WEIGHTS:
        total *= tl.load(weights_ptr + pair, mask=is_row, other=0.0)[None, :]
    target = pair if HAS_WEIGHTS else row
    out_ptrs = out_ptr + target.to(tl.int64)[None, :] * out_stride + output[:, None]
    tl.store(out_ptrs, total.to(kind), mask=is_row[None, :] & is_output[:, None])


@triton.jit
def load_weight(
    values_ptr,
    scale_ptr,
    middle_ptr,
    expert,
    num_stored,
    num_inputs,
    output,
    is_output,
    start,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    GROUP_SIZE: tl.constexpr,
    HAS_MIDDLE: tl.constexpr,
    IS_EVEN: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    """An expert's weights from these outputs and the inputs from `start` on, (OUTPUTS, INPUTS)."""
    row = expert.to(tl.int64) * num_stored + output
    if BITS == 16:
        at = start + tl.arange(0, INPUTS)
        is_weight = is_output[:, None] if IS_EVEN else is_output[:, None] & (at < num_inputs)[None, :]
        weight = tl.load(values_ptr + row[:, None] * num_inputs + at[None, :], mask=is_weight, other=0.0)
    else:
        # Outputs, groups, codes of a group: scales spread over the last dimension, and nothing moves.
        A_BYTE: tl.constexpr = 8 // BITS
        group = tl.arange(0, INPUTS // GROUP)
        within = tl.arange(0, GROUP // A_BYTE)
        row_bytes = num_inputs // A_BYTE
        byte = start // A_BYTE + group[None, :, None] * (GROUP // A_BYTE) + within[None, None, :]
        is_weight = is_output[:, None, None] if IS_EVEN else is_output[:, None, None] & (byte < row_bytes)
        codes = tl.load(values_ptr + row[:, None, None] * row_bytes + byte, mask=is_weight, other=0)
        num_groups = num_inputs // GROUP_SIZE
        group_at = (start + group * GROUP) // GROUP_SIZE
        at_scale = (row[:, None] - output[:, None]) * num_groups + group_at[None, :] * num_stored + output[:, None]
        is_scale = is_output[:, None] & (group_at < num_groups)[None, :]
        scale = tl.load(scale_ptr + at_scale, mask=is_scale, other=0.0).to(tl.float32)[:, :, None]
        middle = tl.zeros_like(scale)
        if HAS_MIDDLE:
            middle = tl.load(middle_ptr + at_scale, mask=is_scale, other=0.0).to(tl.float32)[:, :, None]
        if BITS == 8:
            weight = tl.reshape((codes.to(tl.float32) - 128.0) * scale + middle, [OUTPUTS, INPUTS])
        else:
            lower = ((codes & 15).to(tl.float32) - 8.0) * scale + middle
            upper = ((codes >> 4).to(tl.float32) - 8.0) * scale + middle
            weight = tl.reshape(tl.join(lower, upper), [OUTPUTS, INPUTS])
    return weight
