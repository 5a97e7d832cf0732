"""Linear layers, plain and int8: `Weights` hands over tensors, these compute with them. Ignores files and fewer bits.

int8 keeps one int8 per weight and one scale per output channel (symmetric, no zero point); activations keep their
precision. Two products use it. A few rows (decode) multiply bf16 activations by int8 weights. Many rows (prompts,
batches) are split into two int8 parts, upper and lower eight bits, and multiplied as integers: exact to 15 bits, and
faster than widening the weights where the CPU has AVX-512 VNNI. One part alone is twice as fast and was rejected as
the default: on the embedded model its mean KL from fp32 is .05 nats, against .005 for two parts and for plain fp32.
Who wants that speed asks for `int8-dynamic`. Fewer bits are in `few_bits.py`.

Shapes: N rows, I inputs, O outputs, E experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.quantized_weight import SAMPLED_ROWS

_CHUNK_ROWS = 512  # rows that are quantized at once: small enough to stay in the CPU's cache
ALIGNMENT = 16  # bytes
FEW_ROWS = 8  # up to here the first product wins: it costs the same per row, the second has a fixed cost
_LARGE = 2**22  # weights of a matrix beside which that cost does not count: the second product for any rows

Group = tuple[int, int, int]  # expert, first row, end row


class Linear(Protocol):
    """y = x W^T + b for x of (N, I)."""

    def __call__(self, x_NI: Tensor) -> Tensor: ...


class GroupedLinear(Protocol):
    """Rows sorted by expert, each group of rows through its own expert's weights."""

    def __call__(self, x_NI: Tensor, groups: Sequence[Group]) -> Tensor: ...


class DenseLinear:
    """Weights in the activations' dtype."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        self.weight_OI, self.bias_O = weight_OI, bias_O

    def __call__(self, x_NI: Tensor) -> Tensor:
        return F.linear(x_NI, self.weight_OI, self.bias_O)


class DenseGroupedLinear:
    """Experts' weights in the activations' dtype."""

    def __init__(self, weights_OI: Sequence[Tensor]) -> None:
        self.weights = weights_OI

    def __call__(self, x_NI: Tensor, groups: Sequence[Group]) -> Tensor:
        return torch.cat([F.linear(x_NI[start:end], self.weights[expert]) for expert, start, end in groups])


def quantize_int8(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Round weights to int8, symmetric, one scale per output channel.

    Args:
        parts: Matrices (O_i, I) that share their inputs; the result has their rows one after another.

    Returns:
        int8 weights (O, I) in [-127, 127], and fp32 scales (O,); a channel of zeros has scale 1.
    """
    rows = [chunk for part in parts for chunk in torch.split(part, _CHUNK_ROWS)]
    num_outputs, num_inputs, device = sum(len(chunk) for chunk in rows), parts[0].shape[1], parts[0].device
    q_OI = torch.empty(num_outputs, num_inputs, dtype=torch.int8, device=device)
    scale_O = torch.empty(num_outputs, device=device)
    first = 0
    for chunk in rows:
        end = first + len(chunk)
        weight = chunk.to(torch.float32, copy=True)
        scale = weight.abs().amax(dim=-1).div_(127)
        scale[scale == 0] = 1
        q_OI[first:end] = weight.div_(scale.unsqueeze(-1)).round_()
        scale_O[first:end] = scale
        first = end
    return q_OI, scale_O


class Int8Linear:
    """8-bit weights; see the head of this file. `num_parts` is how many int8 numbers many rows' activations become."""

    def __init__(self, q_OI: Tensor, scale_O: Tensor, bias_O: Tensor | None = None, *, num_parts: int = 2) -> None:
        self.weight = Int8Weight(q_OI, scale_O, num_parts)
        self.bias_O = bias_O
        is_large = q_OI.numel() >= _LARGE and num_parts == 2 and has_integer_product(q_OI.device)
        self._max_few = 0 if is_large else FEW_ROWS

    def __call__(self, x_NI: Tensor) -> Tensor:
        few = x_NI.shape[0] <= self._max_few
        y_NO = (self.weight.weight_only(x_NI.bfloat16()) if few else self.weight.product(x_NI)).to(x_NI.dtype)
        return y_NO if self.bias_O is None else y_NO + self.bias_O


class Int8GroupedLinear:
    """8-bit weights of each expert; `q` and `scale` hold the experts' rows one after another.

    Args:
        rows_per_token: Experts per token: the product is chosen by the number of tokens, however they spread.
    """

    def __init__(self, q: Tensor, scale: Tensor, *, num_experts: int, rows_per_token: int, num_parts: int = 2) -> None:
        self._max_few = FEW_ROWS * rows_per_token
        self.weights = [
            Int8Weight(q_OI, scale_O, num_parts)
            for q_OI, scale_O in zip(q.chunk(num_experts), scale.chunk(num_experts), strict=True)
        ]

    def __call__(self, x_NI: Tensor, groups: Sequence[Group]) -> Tensor:
        few = len(x_NI) <= self._max_few
        x = x_NI.bfloat16() if few else x_NI
        parts = []
        for expert, start, end in groups:
            weight = self.weights[expert]
            parts.append(weight.weight_only(x[start:end]) if few else weight.product(x[start:end]))
        return torch.cat(parts).to(x_NI.dtype)


def has_integer_product(device: torch.device) -> bool:
    """Whether many rows are multiplied as integers. Without VNNI that is slow, and may saturate in 16 bits on its way.

    Where they are, int8 layers give a row the same bits whatever rows are beside it, as long as the product is the
    same: the few-row product adds up each row by itself, in one order; the other adds integers. What stands in for
    them elsewhere is a float product, which rounds differently for other numbers of rows.
    """
    return device.type == "cpu" and torch.cpu._is_vnni_supported()


class Int8Weight:
    def __init__(self, q_OI: Tensor, scale_O: Tensor, num_parts: int) -> None:
        assert num_parts in (1, 2)
        self.num_parts = num_parts
        # torch 2.13's kernel loads 16 aligned bytes at a time: rows elsewhere, as in a mapped file, crash or go wrong.
        self.q_OI = q_OI if q_OI.data_ptr() % ALIGNMENT == 0 else q_OI.clone()
        self.scale_O = scale_O
        self.q_IO, self.scale_bf16_O = self.q_OI.t(), scale_O.bfloat16()
        self._has_weight_only = q_OI.device.type == "cpu" and q_OI.shape[1] % ALIGNMENT == 0
        self._has_integer_product = has_integer_product(q_OI.device)

    def rounding(self) -> tuple[float, float]:
        """As `QuantizedWeight.rounding`."""
        every = max(1, len(self.q_OI) // SAMPLED_ROWS)
        energy_O, scale_O = self.q_OI[::every].float().square().sum(-1), self.scale_O[::every]
        noise = float(scale_O[energy_O > 0].square().sum()) * self.q_OI.shape[1] / 12  # zeros are exact, at any scale
        return every * noise, every * float((energy_O * scale_O.square()).sum())

    def weight_only(self, x_NI: Tensor) -> Tensor:
        """x W^T for a few bf16 rows."""
        if self._has_weight_only:
            return torch._weight_int8pack_mm(x_NI, self.q_OI, self.scale_bf16_O)
        return self._dequantized(x_NI)

    def product(self, x_NI: Tensor) -> Tensor:
        """x W^T for many rows, as integer products of each row's upper eight bits and, with two parts, its lower."""
        if not self._has_integer_product:
            return self._dequantized(x_NI)
        step_N1 = x_NI.abs().amax(-1, keepdim=True).float().clamp_(min=1e-12).div_(127)
        steps_NI = x_NI / step_N1
        upper_NI = steps_NI.round()
        if self.num_parts == 1:
            product_NO = torch._int_mm(upper_NI.to(torch.int8), self.q_IO)
            return product_NO.float().mul_(self.scale_O).mul_(step_N1)
        lower_NI = steps_NI.sub_(upper_NI).mul_(254).round_()  # a remainder is at most half a step
        product = torch._int_mm(torch.cat((upper_NI, lower_NI)).to(torch.int8), self.q_IO)
        upper_NO, lower_NO = product.float().chunk(2)
        return upper_NO.add_(lower_NO, alpha=1 / 254).mul_(self.scale_O).mul_(step_N1)

    def _dequantized(self, x_NI: Tensor) -> Tensor:
        return F.linear(x_NI, self.q_OI.to(x_NI.dtype)) * self.scale_O.to(x_NI.dtype)
