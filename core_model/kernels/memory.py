"""Where weights lie for the kernels: side by side in the order in which they are made, which is that of their use.

A decoded token reads all of them once. On huge pages, which Linux gives to large pieces that ask for them (as numpy's
do), the CPU looks up few addresses meanwhile; a mapped file would be on small ones.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_PIECE = 32 * 2**20  # bytes; numpy asks for huge pages from 4 MiB on
_HUGE = 2**21  # a piece begins where a huge page can, else its ends are on small ones
_LINE = 64


class WeightMemory:
    """Copies weights into large pieces, which live as long as anything in them; what nobody wrote to takes no room."""

    def __init__(self) -> None:
        self._free_Y = torch.empty(0, dtype=torch.uint8)

    def keep(self, blocks: Tensor) -> Tensor:
        """A copy, uint8 of any shape, at a cache line."""
        size = -(-blocks.nbytes // _LINE) * _LINE
        if size > len(self._free_Y):
            self._free_Y = torch.from_numpy(np.empty(max(size, _PIECE) + _HUGE, np.uint8))
            self._free_Y = self._free_Y[-self._free_Y.data_ptr() % _HUGE :]
        kept, self._free_Y = self._free_Y[: blocks.nbytes].view(blocks.shape), self._free_Y[size:]
        return kept.copy_(blocks)
