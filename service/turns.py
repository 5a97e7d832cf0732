"""Whose request runs next when more come than can run at once: each tenant gets its share. Ignores HTTP.

A tenant may run as many requests as places are still free (dynamic thresholds: Choudhury & Hahne 1998,
doi:10.1109/90.664262): alone it gets half of them, and a newcomer always finds one. Those that wait are taken from the
tenant that runs the fewest, in turn if several do. A full queue drops the newest of its longest tenant; nobody waits
longer than `wait_s`. So a tenant that floods waits for itself and is refused, and the others hardly notice.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque

from verticals.contract import Unavailable


class Overloaded(Unavailable):
    """More is asked than can be answered in time; it may be asked again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(
            "more is asked than can be answered in time", remedy=f"Wait {retry_after_s} s; nothing was done."
        )


class Turns:
    """Places for requests that run, and a queue before them; used by one event loop.

    Args:
        places: Requests that run at once, of all tenants; at least 2.
        waiting: Requests that wait at most.
        wait_s: How long one waits at most.
    """

    def __init__(self, *, places: int, waiting: int, wait_s: float) -> None:
        self._places, self._max_waiting, self._wait_s = places, waiting, wait_s
        self._running: Counter[str] = Counter()
        self._num_running = self._num_waiting = 0
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # the tenant served last is the last

    async def take(self, tenant: str) -> None:
        """Wait for a place; it must be given back.

        Raises:
            Overloaded: the queue is full, or it took too long.
        """
        if tenant not in self._queues and self._has_room(tenant):
            self._begin(tenant)
            return
        if self._num_waiting >= self._max_waiting and not self._drop_for(tenant):
            raise self._overloaded()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, deque()).append(turn)
        self._num_waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except TimeoutError:
            self._leave(tenant, turn)
            raise self._overloaded() from None
        except asyncio.CancelledError:
            self._leave(tenant, turn)
            raise

    def give_back(self, tenant: str) -> None:
        """The request ended; the next one begins."""
        self._num_running -= 1
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        while (chosen := self._next()) is not None:
            queue = self._queues.pop(chosen)
            turn = queue.popleft()
            if queue:
                self._queues[chosen] = queue
            self._num_waiting -= 1
            if not turn.done():  # else it leaves this very moment
                self._begin(chosen)
                turn.set_result(None)

    def _has_room(self, tenant: str) -> bool:
        return self._running[tenant] < self._places - self._num_running

    def _begin(self, tenant: str) -> None:
        self._num_running += 1
        self._running[tenant] += 1

    def _next(self) -> str | None:
        may = (tenant for tenant in self._queues if self._has_room(tenant))
        return min(may, key=lambda tenant: self._running[tenant], default=None)

    def _drop_for(self, tenant: str) -> bool:
        """Refuse the newest of the longest queue, unless that is the newcomer's own."""
        longest = max(self._queues, key=lambda other: len(self._queues[other]))
        if len(self._queues[longest]) <= len(self._queues.get(tenant, ())):
            return False
        turn = self._queues[longest][-1]
        self._forget(longest, turn)
        if not turn.done():
            turn.set_exception(self._overloaded())
        return True

    def _leave(self, tenant: str, turn: asyncio.Future[None]) -> None:
        """It waits no more; a place that it was given meanwhile goes to the next."""
        if turn in self._queues.get(tenant, ()):
            self._forget(tenant, turn)
        elif not turn.cancelled() and turn.exception() is None:
            self.give_back(tenant)

    def _forget(self, tenant: str, turn: asyncio.Future[None]) -> None:
        self._queues[tenant].remove(turn)
        self._num_waiting -= 1
        if not self._queues[tenant]:
            del self._queues[tenant]

    def _overloaded(self) -> Overloaded:
        return Overloaded(math.ceil(self._wait_s))
