"""Was everything quantized that should be? Bytes by kind of layer, and the names of what was left out.

Asked of the checkpoint's own tensors, not of the code that walked over them: a layout that this code does not see
through, such as experts stacked in one tensor, shows up as bytes left out. Ignores how good the codes are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from core_model.formats.layers import shape_of

ROUTERS = (".mlp.gate.weight", ".mlp.router.weight", ".block_sparse_moe.gate.weight")
_NOT_LINEAR = (*ROUTERS, ".bias", "norm.weight", ".kv_b_proj.weight")  # the last is absorbed into attention, see there


@dataclass(frozen=True)
class Coverage:
    """Shares of quantized bytes, 0-1, counted at the checkpoint's precision; 1 where there are none.

    Attributes:
        experts: Of routed experts' weights.
        linear: Of all linear layers' weights in the decoder layers, experts included.
        left_out: Names of linear weights that are not quantized.
    """

    experts: float
    linear: float
    left_out: tuple[str, ...]

    def require(self, *, experts: float = 1.0, linear: float = 1.0) -> None:
        """Raise ValueError if less than this was quantized."""
        for what, found, wanted in (("experts", self.experts, experts), ("linear layers", self.linear, linear)):
            if found < wanted:
                some = ", ".join(self.left_out[:3]) + (", …" if len(self.left_out) > 3 else "")
                raise ValueError(
                    f"quantized: {found:.1%} of the bytes of {what}, not the {wanted:.1%} asked for. Left out: {some}. "
                    "Split stacked experts into one tensor each, or ask for less."
                )


def measure_coverage(tensors: Mapping[str, Any], quantized: Collection[str]) -> Coverage:
    """Compare `quantized` names with the checkpoint's linear weights."""
    count = {name: math.prod(shape_of(tensors, name)) for name in linear_names(tensors)}
    done = {name: number if name in quantized else 0 for name, number in count.items()}
    experts = [name for name in count if ".experts." in name]
    return Coverage(
        experts=_share(sum(done[name] for name in experts), sum(count[name] for name in experts)),
        linear=_share(sum(done.values()), sum(count.values())),
        left_out=tuple(name for name in count if name not in quantized),
    )


def linear_names(tensors: Mapping[str, Any]) -> list[str]:
    """Names of the linear weights inside the decoder layers, routers and absorbed projections excepted."""
    return [
        name
        for name in tensors
        if name.startswith("model.layers.") and not name.endswith(_NOT_LINEAR) and len(shape_of(tensors, name)) >= 2
    ]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
