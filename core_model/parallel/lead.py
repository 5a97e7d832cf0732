"""One process decides what runs, the others do the same at the same time. Ignores how a layer is shared.

Everything that a step changes goes through two objects: the cache's pages and the decoder. The leader has both of kinds
that tell each call before they make it; a follower makes the calls that it hears, over objects of its own. Pages are
handed out by rules alone, so that all processes' tables stay equal without being sent.
Messages are JSON: nothing that a process hears is run. Calls about pages wait for the next step and go with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from core_model.attention import Cache, Segment
from core_model.kv_cache import PagedCache
from core_model.model import Decoder

_FOREVER = timedelta(days=365)  # a follower waits as long as nobody asks anything; a leader that dies closes the line


class Line:
    """From the leader to all."""

    def __init__(self) -> None:
        self._group = dist.new_group(backend="gloo", timeout=_FOREVER)
        self._waiting: list[tuple[Any, ...]] = []

    def note(self, *message: Any) -> None:
        """Say something with what is told next."""
        self._waiting.append(message)

    def tell(self, *message: Any) -> None:
        """Say something to the followers now."""
        content = torch.frombuffer(bytearray(json.dumps([*self._waiting, message]).encode()), dtype=torch.uint8)
        self._waiting.clear()
        dist.broadcast(torch.tensor([len(content)]), src=0, group=self._group)
        dist.broadcast(content, src=0, group=self._group)

    def hear(self) -> list[list[Any]]:
        """What the leader says next, in order."""
        length = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(length, src=0, group=self._group)
        content = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(content, src=0, group=self._group)
        messages: list[list[Any]] = json.loads(bytes(content.tolist()))
        return messages

    def send(self, x: Tensor) -> Tensor:
        """The leader's tensor, to all; a follower gives one of the same shape to be filled."""
        dist.broadcast(x, src=0)
        return x


class LeadingCache(PagedCache):
    """The leader's pages."""

    line: Line

    def begin(self, token_ids: Sequence[int], *, root: bytes = b"", num_expected: int = 0) -> tuple[int, int] | None:
        self.line.note("begin", [*token_ids], root.hex(), num_expected)
        return super().begin(token_ids, root=root, num_expected=num_expected)

    def reserve(self, slot: int, num_tokens: int) -> bool:
        if num_tokens > len(self._tables[slot].pages) * self.page_size:
            self.line.note("reserve", slot, num_tokens)
        return super().reserve(slot, num_tokens)

    def publish(self, slot: int, token_ids: Sequence[int]) -> None:
        if len(token_ids) // self.page_size > len(self._tables[slot].hashes) - 1:
            self.line.note("publish", slot, [*token_ids])
        super().publish(slot, token_ids)

    def end(self, slot: int, token_ids: Sequence[int]) -> None:
        self.line.note("end", slot, [*token_ids])
        super().end(slot, token_ids)


class LeadingDecoder(Decoder):
    """The leader's decoder; without adapters, which followers do not have."""

    line: Line

    def __call__(self, token_ids_T: Tensor, segments: Sequence[Segment], cache: Cache | None = None) -> Tensor:
        self.line.tell("run", token_ids_T.tolist(), [astuple(segment) for segment in segments])
        return super().__call__(token_ids_T, segments, cache)

    def logits(self, hidden_TD: Tensor) -> Tensor:
        self.line.tell("logits", len(hidden_TD))
        return super().logits(self.line.send(hidden_TD.contiguous()))


def follow(decoder: Decoder, cache: PagedCache, line: Line) -> None:
    """Do what the leader says, until it says that it stops."""
    while True:
        for heard in line.hear():
            match heard:
                case ["begin", token_ids, root, num_expected]:
                    cache.begin(token_ids, root=bytes.fromhex(root), num_expected=num_expected)
                case ["reserve", slot, num_tokens]:
                    cache.reserve(slot, num_tokens)
                case ["publish", slot, token_ids]:
                    cache.publish(slot, token_ids)
                case ["end", slot, token_ids]:
                    cache.end(slot, token_ids)
                case ["run", token_ids, segments]:
                    decoder(torch.tensor(token_ids, device=decoder.device), [Segment(*s) for s in segments], cache)
                case ["logits", num]:
                    empty_ND = torch.empty(num, decoder.config.hidden_size, dtype=decoder.dtype, device=decoder.device)
                    decoder.logits(line.send(empty_ND))
                case _:
                    return
