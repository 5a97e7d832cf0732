"""A request's answer as its reader sees it. Ignores who computes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from core_model.generation import TokenChunk
from core_model.scheduler import Request


class RequestStream(Iterator[TokenChunk]):
    """A request's chunks; closing or dropping it cancels the request."""

    def __init__(self, request: Request, wake: threading.Condition) -> None:
        self._request, self._wake, self._ended = request, wake, False

    def __next__(self) -> TokenChunk:
        if self._ended:
            raise StopIteration
        item = self._request.output.get()
        if self._request.paused:
            with self._wake:
                self._wake.notify()
        if isinstance(item, Exception):
            self._ended = True
            raise item
        self._ended = item.finish_reason is not None
        return item

    def close(self) -> None:
        """Cancel the request, if it still runs."""
        if not self._ended:
            self._ended = True
            with self._wake:
                self._request.cancelled = True
                self._wake.notify()

    def __del__(self) -> None:
        # A dropped iterator must not go on using a slot. No lock: the collector may run in the engine's thread too.
        self._request.cancelled = True
