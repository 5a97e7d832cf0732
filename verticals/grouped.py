"""Handlers that answer requests which arrive together with one transaction. Ignores what they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from verticals.contract import Context, Decision

RecordAll = Callable[[Sequence[tuple[Context, Decision]], Session], None]
"""Appends decisions of several callers to the audit trail, in the session's transaction."""
Asked = Sequence[tuple[Any, Context]]  # requests with their callers
AnswerAll = Callable[[Asked, RecordAll], Sequence[bytes]]


@dataclass(frozen=True)
class Grouped:
    """A handler that answers requests which arrive together with one transaction.

    Args:
        response: The operation's response model.
        answer_all: Gives each answer as JSON, once all of them are durable. It raises for all or for none: whoever
            calls it then asks one by one.
        split: Requests that are not answered together: the places of each part, and what answers it. None: all are.
    """

    response: type[BaseModel]
    answer_all: AnswerAll
    split: Callable[[Asked], Sequence[tuple[Sequence[int], AnswerAll]]] | None = None

    def __call__(self, request: BaseModel, context: Context) -> BaseModel:
        """One request alone, as any handler answers it."""

        def record(entries: Sequence[tuple[Context, Decision]], session: Session) -> None:
            context.record(*(decision for _, decision in entries), session=session)

        [answer] = self.answer_all([(request, context)], record)
        return self.response.model_validate_json(answer)
