"""Documents are read side by side, and what cannot be read soon is refused at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from tests.conftest import wait_for
from tests.verticals.finance.documents.fakes import FakeOcr
from verticals.contract import Unavailable
from verticals.finance.documents.ocr import Ocr
from verticals.finance.documents.readers import WAITING, Readers


class Opener:
    """Opens readers and remembers them."""

    def __init__(self) -> None:
        self.opened: list[Ocr] = []

    def __call__(self) -> Ocr:
        self.opened.append(FakeOcr([]))
        return self.opened[-1]


def _fail(readers: Readers) -> None:
    with readers.lend():
        raise ValueError("no image")


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as found:
        yield found


def test_as_many_are_read_together_as_there_are_readers(opener: Opener, threads: ThreadPoolExecutor) -> None:
    readers, both = Readers(opener, count=2), Barrier(2, timeout=10)

    def read() -> Ocr:
        with readers.lend() as reader:
            both.wait()  # passes only when another one is being read
            return reader

    found = [task.result() for task in [threads.submit(read), threads.submit(read)]]

    assert {*map(id, found)} == {*map(id, opener.opened)}
    assert len(opener.opened) == 2


def test_a_reader_that_is_idle_is_used_again(opener: Opener) -> None:
    readers = Readers(opener, count=2)
    for _ in range(3):
        with readers.lend():
            pass

    assert len(opener.opened) == 1


def test_one_that_cannot_wait_is_refused_and_those_that_wait_are_read(
    opener: Opener, threads: ThreadPoolExecutor
) -> None:
    readers, go_on = Readers(opener, count=1), Event()
    read: list[int] = []

    def wait() -> None:
        with readers.lend():
            go_on.wait(10)
            read.append(1)

    def refusals() -> list[Future[None]]:
        return [task for task in tasks if task.done()]

    tasks = [threads.submit(wait) for _ in range(1 + WAITING + 1)]
    [refused] = wait_for(refusals)
    go_on.set()

    with pytest.raises(Unavailable, match=r"may wait are here already.*Send it again"):
        refused.result()
    for task in tasks:
        if task is not refused:
            task.result(10)
    assert len(read) == 1 + WAITING


def test_a_failure_gives_the_place_back(opener: Opener) -> None:
    readers = Readers(opener, count=1)
    for _ in range(2 + WAITING):
        with pytest.raises(ValueError, match="no image"):
            _fail(readers)

    with readers.lend() as reader:
        assert [reader] == opener.opened
