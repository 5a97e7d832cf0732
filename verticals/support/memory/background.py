"""Reads what customers said after their answer is out, in a thread of its own. Ignores what is read."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from verticals.support.memory.store import CustomerMemory

_log = logging.getLogger(__name__)


class BackgroundReader:
    """Call it when there may be something to read; it returns at once. What stays unread, a later call reads."""

    def __init__(self, memory: CustomerMemory) -> None:
        self._memory = memory
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="support-memory")

    def __call__(self) -> None:
        """Ask for one reading."""
        self._pool.submit(self._memory.digest).add_done_callback(_report)


def _report(reading: Future[int]) -> None:
    """A failure is told by its kind alone: its message may hold what a customer said. The messages stay unread."""
    if error := reading.exception():
        _log.warning("Messages were not read into memory: %s", type(error).__name__)
