"""Keys and values of running requests, in pages that prompts with the same beginning share. Ignores what entries mean.

What one token leaves in a layer is an entry of W rows, each R wide (`ModelConfig.cache_entry`); the attention knows
what they are. `core_model.pages` knows which page holds which tokens; here are the tensors.
Shapes: C context tokens, N new tokens, S tokens of all pages, P of one page, W rows, R width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from core_model.config import ModelConfig
from core_model.kv_precision import KVPrecision, entry_format
from core_model.pages import PageName, Pages, PageTable
from core_model.stats import CacheStats

PAGE_SIZE = 32  # tokens; a partly matching page is copied, so a small page saves little


class PagedCache:
    """`num_pages` pages of `page_size` tokens. Memory is touched, and so counted, only as pages fill.

    Attributes:
        halves: With precision "fp16" each layer's entries of all pages, (W, S, R), for kernels to read and write.

    Args:
        precision: "same" keeps entries in `dtype`; "fp16" takes half of fp32; "int8" and "fp8" take a quarter of
            it and lose a little.
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
        self.page_size = page_size
        rows, width = config.cache_entry
        self._format = entry_format(precision, dtype)
        self._layers = [
            [
                torch.empty(rows, num_pages * page_size, columns, dtype=kind, device=device)
                for columns, kind in self._format.parts(width)
            ]
            for _ in range(config.num_hidden_layers)
        ]
        self.halves = [layer[0] for layer in self._layers] if precision == "fp16" else None
        self._store = _TensorStore(self._layers, page_size=page_size, host_bytes=host_bytes)
        self._pages = Pages(self._store, num_pages=num_pages, page_size=page_size)
        self._tables: dict[int, PageTable] = {}
        self._indices: dict[int, NDArray[np.int32]] = {}
        self._runs: dict[int, list[tuple[int, int]]] = {}  # slot -> (first token among all pages, how many), in order
        self._slots = count()

    @property
    def capacity(self) -> int:
        """How many tokens all pages hold together."""
        return self._pages.num_pages * self.page_size

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
        del self._runs[slot], self._indices[slot]
        self._pages.close(self._tables.pop(slot), token_ids)

    def append(self, layer_idx: int, slot: int, start: int, new_WNR: Tensor, *, context: int = 0) -> Tensor:
        """As in `core_model.attention.Cache`; `context` is at most what is reserved, rounded up to whole pages."""
        end = start + new_WNR.shape[1]
        if 0 < end % self.page_size <= end - start:  # begins a page, behind the new ones in it is anything
            new_WNR = F.pad(new_WNR, (0, 0, 0, -end % self.page_size))
        new_parts, runs, stop = self._format.encode(new_WNR), self._runs[slot], max(end, context)
        pairs = zip(self._layers[layer_idx], new_parts, strict=True)
        return self._format.decode([_write(*pair, runs, start=start, stop=stop) for pair in pairs])

    def pages_of(self, slot: int) -> NDArray[np.int32]:
        """Which of all pages hold the slot's tokens, in their order."""
        return self._indices[slot]

    def plain_entries(self) -> list[Tensor] | None:
        """Each layer's entries, (W, S, R), the tokens of all pages one after another; None: they are kept in codes."""
        return [parts[0] for parts in self._layers] if len(self._layers[0]) == 1 else None

    def stats(self) -> CacheStats:
        """How full it is; may be called from another thread."""
        pages = self._pages
        return CacheStats(pages.num_pages, pages.num_free, pages.num_cached, self._store.num_host_pages)

    def _lay_out(self, slot: int) -> None:
        size = self.page_size
        self._indices[slot] = np.array(self._tables[slot].pages, dtype=np.int32)
        self._runs[slot] = [(page * size, num * size) for page, num in self._tables[slot].runs()]


def _write(all_WSR: Tensor, new_WNR: Tensor, runs: Sequence[tuple[int, int]], *, start: int, stop: int) -> Tensor:
    """Write from entry `start` of these runs on; return the first `stop` entries, (W, stop, R)."""
    num_new = new_WNR.shape[1]
    if len(runs) == 1:
        all_WSR.narrow(1, runs[0][0] + start, num_new).copy_(new_WNR)
        return all_WSR.narrow(1, runs[0][0], stop)
    found, at = [], 0
    for first, length in runs:
        begin, end = max(start - at, 0), min(start + num_new - at, length)  # what of this run is written
        if begin < end:
            new_part_WNR = new_WNR.narrow(1, at + begin - start, end - begin)
            all_WSR.narrow(1, first + begin, end - begin).copy_(new_part_WNR)
        if at < stop:
            found.append(all_WSR.narrow(1, first, min(length, stop - at)))
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
