"""Keys and values of running requests, one preallocated slot each. Ignores paging: a slot holds a whole context.

What one token leaves in a layer is an entry of W rows, each R wide (`ModelConfig.cache_entry`); what they mean is the
attention's business. Shapes: C context tokens, N new tokens, W rows, R width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core_model.config import ModelConfig


class SlotCache:
    """`num_slots` slots of `max_context` tokens. Memory is touched, and so counted, only as slots fill.

    A freed slot keeps its tokens, so that a later prompt with the same beginning starts from there.
    """

    def __init__(
        self, config: ModelConfig, *, num_slots: int, max_context: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        rows, width = config.cache_entry
        shape = (num_slots, rows, max_context, width)
        self._entries_WCR = [
            torch.empty(shape, dtype=dtype, device=device).unbind(0) for _ in range(config.num_hidden_layers)
        ]
        self._kept: dict[int, list[int]] = {slot: [] for slot in range(num_slots)}  # free slots, oldest first
        self.max_context = max_context

    @property
    def num_free(self) -> int:
        """How many slots are free."""
        return len(self._kept)

    def allocate(self, prompt_ids: Sequence[int]) -> tuple[int, int]:
        """Take the free slot that shares the longest beginning with `prompt_ids`.

        Returns:
            The slot, and how many prompt tokens it holds already: at most all but the last, whose logits are needed.
        """
        assert self._kept, "the scheduler admits no more requests than slots"
        shared = {slot: _common_prefix(kept, prompt_ids[:-1]) for slot, kept in self._kept.items()}
        slot = max(shared, key=lambda s: (shared[s], -len(self._kept[s])))
        del self._kept[slot]
        return slot, shared[slot]

    def free(self, slot: int, token_ids: Sequence[int]) -> None:
        """Give `slot` back; `token_ids` are those whose keys and values it holds."""
        assert slot not in self._kept
        self._kept[slot] = list(token_ids)

    def append(self, layer_idx: int, slot: int, start: int, new_WNR: Tensor) -> Tensor:
        """Store new entries from position `start`; return all of the slot's so far, (W, start + N, R)."""
        entries_WCR = self._entries_WCR[layer_idx][slot]
        num_new = new_WNR.shape[1]
        entries_WCR.narrow(1, start, num_new).copy_(new_WNR)
        return entries_WCR.narrow(1, 0, start + num_new)


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))
