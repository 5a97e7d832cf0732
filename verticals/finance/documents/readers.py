"""Several readers for requests that come together, each with one image at a time. Ignores what is read.

An image takes about a second of one core, so there are as many readers as cores, and few requests may wait for one:
what waits longer than a client does would be read for nobody. All of them hold a thread of the forty that answer.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from verticals.contract import Unavailable
from verticals.finance.documents.ocr import Ocr

MAX_READERS = 4
WAITING = 4  # requests that may wait, for each reader


class Readers:
    """Readers that are lent to one request at a time, opened at the first need and then kept.

    Args:
        open_reader: Opens one; raises `Unavailable` when its packages are missing.
        count: At most so many; if None, one a core up to `MAX_READERS`.
    """

    def __init__(self, open_reader: Callable[[], Ocr], *, count: int | None = None) -> None:
        count = count or min(MAX_READERS, os.cpu_count() or 1)
        self._open_reader = open_reader
        self._turns, self._places = BoundedSemaphore(count), BoundedSemaphore(count * (1 + WAITING))
        self._idle: deque[Ocr] = deque()

    @contextmanager
    def lend(self) -> Iterator[Ocr]:
        """A reader of one's own while the block runs.

        Raises:
            Unavailable: too many wait already.
        """
        if not self._places.acquire(blocking=False):
            rule = "as many documents as can be read and may wait are here already"
            raise Unavailable(rule, field="file", remedy="Send it again in a few seconds.")
        try:
            with self._turns:
                try:
                    reader = self._idle.pop()
                except IndexError:  # none is idle, and there are fewer than turns
                    reader = self._open_reader()
                try:
                    yield reader
                finally:
                    self._idle.append(reader)
        finally:
            self._places.release()
