"""Keys and values of running requests, in pages that prompts with the same beginning share. Ignores what entries mean.

What one token leaves in a layer is an entry of W rows, each R wide (`ModelConfig.cache_entry`); the attention knows
what they are. `core_model.pages` knows which page holds which tokens; here are the tensors.
Shapes: C context tokens, N new tokens, S tokens of all pages, P of one page, W rows, R width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import count

import torch
from torch import Tensor

from core_model.config import ModelConfig
from core_model.kv_precision import KVPrecision, entry_format
from core_model.pages import PageName, Pages, PageTable
from core_model.stats import CacheStats

PAGE_SIZE = 32  # tokens; a partly matching page is copied, so a small page saves little


class PagedCache:
    """`num_pages` pages of `page_size` tokens. Memory is touched, and so counted, only as pages fill.

    Args:
        precision: "same" keeps entries in `dtype`; "int8" and "fp8" take a quarter of fp32 and lose a little.
        host_bytes: Evicted pages are kept in main memory up to this size, and come back when a prompt wants them.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_pages: int,
        dtype: torch.dtype,
        device: torch.device,
        page_size: int = PAGE_SIZE,
        precision: KVPrecision = "same",
        host_bytes: int = 0,
    ) -> None:
        rows, width = config.cache_entry
        self._format = entry_format(precision, dtype)
        self._layers = [
            [
                torch.empty(rows, num_pages * page_size, columns, dtype=kind, device=device)
                for columns, kind in self._format.parts(width)
            ]
            for _ in range(config.num_hidden_layers)
        ]
        self._store = _TensorStore(self._layers, page_size=page_size, host_bytes=host_bytes)
        self._pages = Pages(self._store, num_pages=num_pages, page_size=page_size)
        self._tables: dict[int, PageTable] = {}
        self._runs: dict[int, list[tuple[int, int]]] = {}  # slot -> (first token among all pages, how many), in order
        self._slots = count()

    @property
    def capacity(self) -> int:
        """How many tokens all pages hold together."""
        return self._pages.num_pages * self._pages.page_size

    def begin(self, token_ids: Sequence[int], *, root: bytes = b"", num_expected: int = 0) -> tuple[int, int] | None:
        """A slot with room for `token_ids`, and how many of them it holds already; None if too few pages are free.

        Args:
            root: From `core_model.pages.root_hash`; slots of different roots share nothing.
            num_expected: How many tokens there may be in the end, as in `Pages.open`.
        """
        opened = self._pages.open(root, token_ids, num_expected=num_expected)
        if opened is None:
            return None
        slot = next(self._slots)
        self._tables[slot] = opened[0]
        self._lay_out(slot)
        return slot, opened[1]

    def reserve(self, slot: int, num_tokens: int) -> bool:
        """Make room for `num_tokens` tokens in all; False if too few pages are free. Room past the last token kept is
        simply overwritten: a token that was tried and refused need not be removed.
        """
        table = self._tables[slot]
        before = len(table.pages)
        if not self._pages.grow(table, num_tokens):
            return False
        if len(table.pages) > before:
            self._lay_out(slot)
        return True

    def publish(self, slot: int, token_ids: Sequence[int]) -> None:
        """Let others share the full pages; `token_ids` are those whose entries are in."""
        self._pages.publish(self._tables[slot], token_ids)

    def end(self, slot: int, token_ids: Sequence[int]) -> None:
        """Give `slot` back; `token_ids` are those whose entries are in."""
        del self._runs[slot]
        self._pages.close(self._tables.pop(slot), token_ids)

    def append(self, layer_idx: int, slot: int, start: int, new_WNR: Tensor) -> Tensor:
        """Store new entries from position `start`; return all of the slot's so far, (W, start + N, R)."""
        runs = self._runs[slot]
        new_parts = self._format.encode(new_WNR)
        parts = self._layers[layer_idx]
        return self._format.decode([_write(*pair, runs, start) for pair in zip(parts, new_parts, strict=True)])

    def stats(self) -> CacheStats:
        """How full it is; may be called from another thread."""
        pages = self._pages
        return CacheStats(pages.num_pages, pages.num_free, pages.num_cached, self._store.num_host_pages)

    def _lay_out(self, slot: int) -> None:
        size = self._pages.page_size
        self._runs[slot] = [(page * size, num * size) for page, num in self._tables[slot].runs()]


def _write(all_WSR: Tensor, new_WNR: Tensor, runs: Sequence[tuple[int, int]], start: int) -> Tensor:
    """Write after the first `start` entries of these runs; all up to the end of the new ones, (W, start + N, R)."""
    stop = start + new_WNR.shape[1]
    if len(runs) == 1:
        found_WCR = all_WSR.narrow(1, runs[0][0], stop)
        found_WCR.narrow(1, start, stop - start).copy_(new_WNR)
        return found_WCR
    found, at = [], 0
    for first, length in runs:
        length = min(length, stop - at)
        if length <= 0:
            break
        part_WCR = all_WSR.narrow(1, first, length)
        begin = max(start - at, 0)
        if begin < length:
            part_WCR.narrow(1, begin, length - begin).copy_(new_WNR.narrow(1, at + begin - start, length - begin))
        found.append(part_WCR)
        at += length
    return torch.cat(found, dim=1)


class _TensorStore:
    """Contents of pages for `Pages`; evicted ones in main memory, the least recently evicted dropped first."""

    def __init__(self, layers: Sequence[Sequence[Tensor]], *, page_size: int, host_bytes: int) -> None:
        self._all = [part_WSR for layer in layers for part_WSR in layer]
        self._page_size = page_size
        bytes_per_page = sum(part.shape[0] * page_size * part.shape[2] * part.element_size() for part in self._all)
        self._max_host_pages = host_bytes // bytes_per_page
        self._host: OrderedDict[PageName, list[Tensor]] = OrderedDict()

    @property
    def num_host_pages(self) -> int:
        return len(self._host)

    def copy(self, source: int, target: int) -> None:
        for part_WSR in self._all:
            self._page(part_WSR, target).copy_(self._page(part_WSR, source))

    def evict(self, name: PageName, page: int) -> None:
        if self._max_host_pages:
            self._host[name] = [self._page(part_WSR, page).to("cpu", copy=True) for part_WSR in self._all]
            self._host.move_to_end(name)
            while len(self._host) > self._max_host_pages:
                self._host.popitem(last=False)

    def restore(self, name: PageName, page: int) -> bool:
        kept = self._host.pop(name, None)
        for part_WSR, kept_WPR in zip(self._all, kept or (), strict=False):
            self._page(part_WSR, page).copy_(kept_WPR)
        return kept is not None

    def has_kept(self, name: PageName) -> bool:
        return name in self._host

    def _page(self, part_WSR: Tensor, page: int) -> Tensor:
        return part_WSR.narrow(1, page * self._page_size, self._page_size)
