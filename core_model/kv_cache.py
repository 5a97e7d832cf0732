"""Keys and values of running requests, one preallocated slot each. Ignores paging: a slot holds a whole context.

Shapes: L layers, S slots, H key-value heads, C context tokens, D head dim, N new tokens.
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
        shape = (num_slots, 2, config.num_key_value_heads, max_context, config.head_dim)
        self._kv_2HCD = [
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

    def append(self, layer_idx: int, slot: int, start: int, kv_2HND: Tensor) -> Tensor:
        """Store new keys and values from position `start`; return all of the slot's so far, (2, H, start + N, D)."""
        kv_2HCD = self._kv_2HCD[layer_idx][slot]
        num_new = kv_2HND.shape[2]
        kv_2HCD.narrow(2, start, num_new).copy_(kv_2HND)
        return kv_2HCD.narrow(2, 0, start + num_new)


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))
