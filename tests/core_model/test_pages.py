"""Pages are never lost, never lent for writing twice, and a name always means the same tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core_model.pages import PageName, Pages, PageTable, root_hash

SIZE = 2
ROOT = root_hash("test")


class TokenStore:
    """Pages that hold the tokens themselves, so that wrong contents show."""

    def __init__(self, num_pages: int, *, num_kept: int) -> None:
        self.contents: list[list[int | None]] = [[None] * SIZE for _ in range(num_pages)]
        self.kept: dict[PageName, list[int | None]] = {}
        self._num_kept = num_kept

    def copy(self, source: int, target: int) -> None:
        self.contents[target] = list(self.contents[source])

    def evict(self, name: PageName, page: int) -> None:
        self.kept[name] = list(self.contents[page])
        while len(self.kept) > self._num_kept:
            del self.kept[next(iter(self.kept))]

    def restore(self, name: PageName, page: int) -> bool:
        found = self.kept.pop(name, None)
        if found is not None:
            self.contents[page] = found
        return found is not None

    def has_kept(self, name: PageName) -> bool:
        return name in self.kept

    def read(self, table: PageTable, num_tokens: int) -> list[int | None]:
        return [token for page in table.pages for token in self.contents[page]][:num_tokens]

    def write(self, table: PageTable, at: int, token: int) -> None:
        self.contents[table.pages[at // SIZE]][at % SIZE] = token


PROMPTS = st.lists(st.integers(0, 2), min_size=1, max_size=9)
MOVES = st.lists(st.tuples(st.sampled_from(["open", "grow", "publish", "close"]), st.integers(0, 99), PROMPTS))


@given(MOVES, st.sampled_from([0, 3]))
def test_every_request_reads_its_own_tokens_and_no_page_is_lost(
    moves: list[tuple[str, int, list[int]]], num_kept: int
) -> None:
    store = TokenStore(7, num_kept=num_kept)
    pages = Pages(store, num_pages=7, page_size=SIZE)
    tables: list[tuple[PageTable, list[int]]] = []
    for move, which, tokens in moves:
        if move == "open":
            opened = pages.open(ROOT, tokens, num_expected=len(tokens) + which % 5)
            if opened is None:
                continue
            table, num_cached = opened
            assert num_cached < len(tokens)
            assert store.read(table, num_cached) == tokens[:num_cached]
            for at in range(num_cached, len(tokens)):
                store.write(table, at, tokens[at])
            tables.append((table, list(tokens)))
        elif tables:
            table, held = tables[which % len(tables)]
            if move == "grow" and pages.grow(table, len(held) + 1):
                held.append(tokens[0])
                store.write(table, len(held) - 1, tokens[0])
            elif move == "publish":
                pages.publish(table, held)
            elif move == "close":
                tables.pop(which % len(tables))
                pages.close(table, held)
        for table, held in tables:
            assert store.read(table, len(held)) == held

    for table, held in tables:
        pages.close(table, held)
    assert pages.num_free + pages.num_cached == 7
    assert pages.open(ROOT, [7] * 14, num_expected=14) is not None  # all of them can be had at once


def test_running_requests_share_their_full_pages_when_there_is_no_room_for_copies() -> None:
    store = TokenStore(4, num_kept=0)
    pages = Pages(store, num_pages=4, page_size=SIZE)
    opened = pages.open(ROOT, [1, 2, 3, 4, 5], num_expected=5)
    assert opened is not None
    pages.publish(opened[0], [1, 2, 3, 4])

    second = pages.open(ROOT, [1, 2, 3, 4, 6], num_expected=5)

    assert second is not None
    assert second[0].pages[:2] == opened[0].pages[:2]
    assert (second[1], pages.num_free) == (4, 0)


def test_shared_pages_are_copied_side_by_side_while_there_is_room() -> None:
    store = TokenStore(8, num_kept=0)
    pages = Pages(store, num_pages=8, page_size=SIZE)
    first = pages.open(ROOT, [1, 2, 3, 4, 5], num_expected=8)
    assert first is not None
    for at, token in enumerate([1, 2, 3, 4]):
        store.write(first[0], at, token)
    pages.publish(first[0], [1, 2, 3, 4])

    second = pages.open(ROOT, [1, 2, 3, 4, 6], num_expected=8)

    assert second is not None
    assert (list(second[0].runs()), second[1]) == ([(4, 3)], 4)
    assert store.read(second[0], 4) == [1, 2, 3, 4]
