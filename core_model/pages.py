"""Which page of the KV cache holds which tokens (PagedAttention, arXiv:2309.06180). Ignores tensors and scheduling.

A page has room for the entries of `page_size` consecutive tokens, in every layer. It is in use (by one request or
several), cached (by none, but it has a name, so that a later prompt may find it) or free. An entry depends on every
token before it, so the name of a page is the hash of all that comes before, and its own tokens. Nothing is written to a
page that has a name, which is why it can be shared.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

PageName = tuple[bytes, tuple[int, ...]]  # the hash of everything before, the page's own tokens


class PageStore(Protocol):
    """Holds the pages' contents."""

    def copy(self, source: int, target: int) -> None:
        """Copy the contents of a page."""

    def evict(self, name: PageName, page: int) -> None:
        """A full page is about to be reused; its contents may be kept elsewhere."""

    def restore(self, name: PageName, page: int) -> bool:
        """Put contents kept elsewhere into `page`; False if there are none."""

    def has_kept(self, name: PageName) -> bool:
        """Whether `restore` would find them."""


def root_hash(*parts: str | None) -> bytes:
    """Where a chain of pages begins. Different parts (version of the weights, adapter, tenant) never share a page."""
    return _digest(json.dumps(parts).encode())


@dataclass(eq=False)
class PageTable:
    """The pages of one running request, in the order of its tokens."""

    pages: list[int] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)  # [i]: of all tokens before page i; known for named pages only
    plan: range = range(0)  # consecutive pages that it would like to have: then its tokens lie side by side

    def runs(self) -> Iterator[tuple[int, int]]:
        """Consecutive pages as (first page, how many)."""
        first = 0
        for i in range(1, len(self.pages) + 1):
            if i == len(self.pages) or self.pages[i] != self.pages[i - 1] + 1:
                yield self.pages[first], i - first
                first = i


class Pages:
    """Hands out pages, finds those that a prompt can reuse, and evicts the least recently used."""

    def __init__(self, store: PageStore, *, num_pages: int, page_size: int) -> None:
        self._store, self.num_pages, self.page_size = store, num_pages, page_size
        self._users = [0] * num_pages
        self._names: list[PageName | None] = [None] * num_pages
        self._last_use = [0] * num_pages  # 0: nothing in it
        self._planned_by: list[PageTable | None] = [None] * num_pages
        self._named: dict[bytes, dict[tuple[int, ...], int]] = {}
        self._idle: OrderedDict[int, None] = OrderedDict.fromkeys(range(num_pages))  # next to be reused first
        self._clock = 0
        self.num_cached = 0

    @property
    def num_free(self) -> int:
        """Pages with nothing in them."""
        return len(self._idle) - self.num_cached

    def open(self, root: bytes, token_ids: Sequence[int], *, num_expected: int) -> tuple[PageTable, int] | None:
        """Pages for a request's tokens, as many as possible of them holding their entries already.

        Args:
            root: Where the chain begins, from `root_hash`.
            token_ids: The tokens so far; there will be pages for all of them.
            num_expected: How many tokens there may be in the end; room for them is kept free if nobody else needs it.

        Returns:
            The table, and how many tokens are there already: at most all but the last, whose logits are needed. None
            if there are too few pages now.
        """
        table = PageTable(hashes=[root])
        reusable = tuple(token_ids[:-1])
        for first in range(0, len(reusable) - self.page_size + 1, self.page_size):
            name = table.hashes[-1], reusable[first : first + self.page_size]
            page = self._find(name)
            if page is None:
                break
            table.pages.append(page)
            table.hashes.append(_hash(name))
        num_cached = len(table.pages) * self.page_size
        source, num_partial = self._longest_match(table.hashes[-1], reusable[num_cached:])
        if self._pages_for(len(token_ids)) - len(table.pages) > len(self._idle):
            self._release(table)
            return None

        self._place(table, source, num_pages=self._pages_for(max(num_expected, len(token_ids))))
        if source is not None and self._names[source] is not None:  # placing may have needed it
            self._begin_with(table, source)
            num_cached += num_partial
        self.grow(table, len(token_ids))
        return table, num_cached

    def grow(self, table: PageTable, num_tokens: int) -> bool:
        """Make room for `num_tokens` tokens in all; False, and nothing changed, if there are too few pages."""
        num_new = self._pages_for(num_tokens) - len(table.pages)
        if num_new > len(self._idle):
            return False
        for _ in range(num_new):
            table.pages.append(self._take(self._next_page(table)))
        return True

    def publish(self, table: PageTable, token_ids: Sequence[int]) -> None:
        """Name the full pages, now that the entries of `token_ids` are in: others may share them from here on."""
        for i in range(len(table.hashes) - 1, len(token_ids) // self.page_size):
            name = table.hashes[-1], tuple(token_ids[i * self.page_size : (i + 1) * self.page_size])
            self._name(table.pages[i], name)
            table.hashes.append(_hash(name))

    def close(self, table: PageTable, token_ids: Sequence[int]) -> None:
        """Give all pages back; what `token_ids` left in them stays usable until the page is needed."""
        self.publish(table, token_ids)
        rest = tuple(token_ids[(len(table.hashes) - 1) * self.page_size :])
        if rest:
            self._name(table.pages[len(table.hashes) - 1], (table.hashes[-1], rest))
        self._release(table)

    # --- finding ---------------------------------------------------------------------------------------------------

    def _find(self, name: PageName) -> int | None:
        """The page of that name, held for the caller; brought back from elsewhere if it was evicted."""
        parent, tokens = name
        page = self._named.get(parent, {}).get(tokens)
        if page is not None:
            self._hold(page)
        elif self._idle and self._store.has_kept(name):
            page = self._take(next(iter(self._idle)))
            if not self._store.restore(name, page):  # evicting for its sake pushed it out
                self._leave(page)
                return None
            self._name(page, name)
        return page

    def _longest_match(self, parent: bytes, tokens: tuple[int, ...]) -> tuple[int | None, int]:
        """The page after `parent` that shares the longest beginning with `tokens`, and how long that is."""
        best, length = None, 0
        for held, page in self._named.get(parent, {}).items():
            common = _common_prefix(held, tokens)
            if common > length:
                best, length = page, common
        return best, length

    # --- placing: side by side if possible, so that reading a request's entries is a view and not a copy -------------

    def _place(self, table: PageTable, source: int | None, *, num_pages: int) -> None:
        """Plan where the table's `num_pages` pages will lie; copy shared ones there while there is room to spare.

        A copy costs milliseconds once; entries in two places cost a copy in every layer of every step. The plans cover
        all that every running request can grow to, so such copies never take a page that another will need.
        """
        here = self._run_from(table, source, num_pages)
        there, there_used = self._oldest_run(num_pages)
        if here is not None and (there is None or self._used(here[len(table.pages) :]) <= there_used):
            table.plan = here
        elif there is not None:
            table.plan = there
            shared, table.pages = table.pages, []
            for page in shared:
                table.pages.append(self._take(there[len(table.pages)]))
                self._store.copy(page, table.pages[-1])
            for page in reversed(shared):
                self._leave(page)
        for page in table.plan:
            self._planned_by[page] = table

    def _run_from(self, table: PageTable, source: int | None, num_pages: int) -> range | None:
        """The pages from the first reused one on, if nobody else is or plans to be in those yet to be filled."""
        first = table.pages[0] if table.pages else source
        if first is None or first + num_pages > self.num_pages:
            return None
        run = range(first, first + num_pages)
        is_in_order = table.pages == list(run[: len(table.pages)])
        return run if is_in_order and all(map(self._is_open, run[len(table.pages) :])) else None

    def _oldest_run(self, num_pages: int) -> tuple[range | None, int]:
        """Of all open runs the one whose latest use is longest ago, and when that was."""
        best, best_used, first = None, 0, 0
        for page in range(self.num_pages):
            if not self._is_open(page):
                first = page + 1
            elif page - first + 1 >= num_pages:
                run = range(page - num_pages + 1, page + 1)
                used = self._used(run)
                if best is None or used < best_used:
                    best, best_used = run, used
                if used == 0:
                    break
        return best, best_used

    def _is_open(self, page: int) -> bool:
        return self._users[page] == 0 and self._planned_by[page] is None

    def _used(self, run: range) -> int:
        return max(self._last_use[run.start : run.stop], default=0)

    def _next_page(self, table: PageTable) -> int:
        at = len(table.pages)
        if at < len(table.plan) and self._users[table.plan[at]] == 0:
            return table.plan[at]
        unplanned = (page for page in self._idle if self._planned_by[page] is None)
        return next(unplanned, next(iter(self._idle)))

    def _begin_with(self, table: PageTable, source: int) -> None:
        """The table's next page begins as `source` does: a copy, or `source` itself if it lies in the right place."""
        target = self._next_page(table)
        if target != source and self._users[source] == 0:
            self._idle.move_to_end(source)  # not to be evicted by its own copy
            target = self._next_page(table)
        if target != source:
            self._take(target)
            self._store.copy(source, target)
        else:
            self._take(source)
        table.pages.append(target)

    # --- pages' lives ----------------------------------------------------------------------------------------------

    def _take(self, page: int) -> int:
        """An idle page, for writing; what it held is evicted."""
        self._hold(page)
        name, self._names[page] = self._names[page], None
        if name is not None:
            parent, tokens = name
            del self._named[parent][tokens]
            if not self._named[parent]:
                del self._named[parent]
            if len(tokens) == self.page_size:
                self._store.evict(name, page)
        return page

    def _hold(self, page: int) -> None:
        if self._users[page] == 0:
            del self._idle[page]
            self.num_cached -= self._names[page] is not None
        self._users[page] += 1

    def _leave(self, page: int) -> None:
        self._users[page] -= 1
        if self._users[page] == 0:
            self._rest(page)

    def _rest(self, page: int) -> None:
        """Nobody uses the page any more: it is reused last if it has a name, and first if not."""
        named = self._names[page] is not None
        self._clock += 1
        self._last_use[page] = self._clock if named else 0
        self.num_cached += named
        self._idle[page] = None
        self._idle.move_to_end(page, last=named)

    def _release(self, table: PageTable) -> None:
        for page in table.plan:
            if self._planned_by[page] is table:
                self._planned_by[page] = None
        for page in reversed(table.pages):  # a page is of no use without those before it: the last is reused first
            self._leave(page)
        table.pages = []

    def _name(self, page: int, name: PageName) -> None:
        """Make `page` findable; if another has the name, that one stays and this one is free when it is given back."""
        parent, tokens = name
        if self._named.setdefault(parent, {}).setdefault(tokens, page) == page:
            self._names[page] = name

    def _pages_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.page_size)


def _hash(name: PageName) -> bytes:
    parent, tokens = name
    return _digest(parent + array("q", tokens).tobytes())


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))
