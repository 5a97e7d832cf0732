"""Requests that wait are answered together: one scoring, one transaction, one wait for the disk. Ignores HTTP.

While one group is being written the next gathers, so a group is as large as the disk is slow (group commit: DeWitt et
al. 1984, doi:10.1145/602259.602261). It also gathers while each turn of the event loop brings more: requests that come
together are read one after the other, and a thread that began with the first would fight for the interpreter with the
one that reads the rest. There is no timer: a lone request waits for one empty turn, some microseconds. No answer is
given before it is durable.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import NamedTuple

from pydantic import BaseModel
from sqlalchemy.exc import OperationalError

from verticals.contract import Context
from verticals.grouped import AnswerAll, Grouped, RecordAll

MAX_GROUP = 256  # the write lock is held for one group
FULL = 64  # a group that no longer waits for others


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
        self._waiting: list[_Waiting] = []  # this and the next are the event loop's own
        self._at_work = False
        self._groups: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="grouping", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer the group that is at work, and end."""
        if self._thread.is_alive():
            self._groups.put(None)
            self._thread.join()

    async def ask(self, request: BaseModel, context: Context) -> bytes:
        """The answer as JSON, once its decision is durable.

        Raises:
            Exception: what the handler raised for this request alone.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append(_Waiting(request, context, answer))
        if len(self._waiting) == 1 and not self._at_work:
            loop.call_soon(self._gather, loop, 1)
        return await answer

    def _gather(self, loop: asyncio.AbstractEventLoop, seen: int) -> None:
        """Hand the group over, unless the last turn of the loop brought more than the `seen` ones."""
        if seen < len(self._waiting) < FULL:
            loop.call_soon(self._gather, loop, len(self._waiting))
            return
        self._at_work = True
        self._groups.put(self._waiting[:MAX_GROUP])
        del self._waiting[:MAX_GROUP]

    def _work(self) -> None:
        while (group := self._groups.get()) is not None:
            found = self._answer_parts(group)
            loop = group[0].answer.get_loop()
            loop.call_soon_threadsafe(self._give, loop, group, found)

    def _give(
        self, loop: asyncio.AbstractEventLoop, group: Sequence[_Waiting], found: Sequence[bytes | Exception]
    ) -> None:
        for one, answer in zip(group, found, strict=True):
            if one.answer.done():  # its client went away
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)
        self._at_work = False
        if self._waiting:
            loop.call_soon(self._gather, loop, 0)  # after those answers are sent

    def _answer_parts(self, waiting: Sequence[_Waiting]) -> Sequence[bytes | Exception]:
        if self._handler.split is None:
            return self._answer(waiting, self._handler.answer_all)
        found: dict[int, bytes | Exception] = {}
        for places, answer_all in self._handler.split([(one.request, one.context) for one in waiting]):
            answers = self._answer([waiting[place] for place in places], answer_all)
            found |= zip(places, answers, strict=True)
        return [found[place] for place in range(len(waiting))]

    def _answer(self, waiting: Sequence[_Waiting], answer_all: AnswerAll) -> Sequence[bytes | Exception]:
        try:
            return answer_all([(one.request, one.context) for one in waiting], self._record_all)
        except OperationalError as error:  # the database is away: for all of them
            return [error] * len(waiting)
        except Exception as error:  # noqa: BLE001  (it travels to whoever asked)
            if len(waiting) == 1:
                return [error]
            return [self._answer([one], answer_all)[0] for one in waiting]  # one is to blame: the others must not pay
