"""Requests that wait are answered together: one scoring, one transaction, one wait for the disk. Ignores HTTP.

While one group is being written the next gathers, so a group is as large as the disk is slow, and a lone request waits
for nobody (group commit: DeWitt et al. 1984, doi:10.1145/602259.602261). No answer is given before it is durable.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from pydantic import BaseModel
from sqlalchemy.exc import OperationalError

from verticals.contract import Context, Grouped, RecordAll

MAX_GROUP = 256  # the write lock is held for one group


class _Waiting(NamedTuple):
    request: BaseModel
    context: Context
    answer: asyncio.Future[bytes]


class Grouping:
    """One thread that answers the requests of one operation.

    Args:
        handler: Answers many at once.
        record_all: Appends their decisions to the audit trail.
    """

    def __init__(self, handler: Grouped, record_all: RecordAll) -> None:
        self._handler, self._record_all = handler, record_all
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="grouping", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer those that wait, and end."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    async def ask(self, request: BaseModel, context: Context) -> bytes:
        """The answer as JSON, once its decision is durable.

        Raises:
            Exception: what the handler raised for this request alone.
        """
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(request, context, answer))
        return await answer

    def _work(self) -> None:
        going_on = True
        while going_on:
            group = [self._queue.get()]
            try:
                while len(group) < MAX_GROUP:
                    group.append(self._queue.get_nowait())
            except Empty:
                pass
            going_on = None not in group
            waiting = [one for one in group if one is not None]
            if waiting:
                found = self._answer(waiting)
                loop = waiting[0].answer.get_loop()
                loop.call_soon_threadsafe(_give, waiting, found)

    def _answer(self, waiting: Sequence[_Waiting]) -> Sequence[bytes | Exception]:
        try:
            return self._handler.answer_all([(one.request, one.context) for one in waiting], self._record_all)
        except OperationalError as error:  # the database is away: for all of them
            return [error] * len(waiting)
        except Exception as error:  # noqa: BLE001  (it travels to whoever asked)
            if len(waiting) == 1:
                return [error]
            return [self._answer([one])[0] for one in waiting]  # one is to blame: the others must not pay


def _give(waiting: Sequence[_Waiting], found: Sequence[bytes | Exception]) -> None:
    for one, answer in zip(waiting, found, strict=True):
        if one.answer.done():  # its client went away
            continue
        if isinstance(answer, Exception):
            one.answer.set_exception(answer)
        else:
            one.answer.set_result(answer)
