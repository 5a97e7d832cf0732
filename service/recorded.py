"""Sees to it that a call which must leave an audit entry leaves one. Ignores what handlers record of themselves.

A handler records its decisions with the change that they describe. One that recorded nothing is recorded here, when it
has answered: who called what, with fingerprints of request and answer. So no new operation can change something unseen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from service.audit import AuditLog
from verticals.contract import Artifact, ArtifactStream, Decision, Handler, Operation
from verticals.grouped import Grouped

Answer = BaseModel | Artifact | ArtifactStream | Iterator[BaseModel]


def is_whole(operation: Operation, handler: Handler | None) -> bool:
    """Whether all that a call does, if anything, is one transaction, in which it is recorded."""
    return isinstance(handler, Grouped) or (operation.method == "POST" and not must_record(operation))


def must_record(operation: Operation) -> bool:
    """Whether each call of it leaves an entry."""
    return operation.method != "GET" if operation.recorded is None else operation.recorded


@dataclass
class Recording:
    """`verticals.contract.Recorder` of one call."""

    audit: AuditLog
    who: Mapping[str, str]
    answered_by: Mapping[str, str] = field(default_factory=dict)  # model -> version, as models are asked
    on_record: Callable[[Session], None] | None = None  # called in the one transaction of a whole request
    started_s: float = field(init=False, default_factory=perf_counter)  # when the call came
    is_recorded: bool = field(init=False, default=False)

    def __call__(self, *decisions: Decision, session: Session | None = None) -> None:
        """Append them, with how long the call has taken."""
        if self.on_record is not None:
            assert session is not None, "a whole request records within its transaction"
            self.on_record(session)
        told = (replace(one, models={**self.answered_by, **one.models}) for one in decisions)
        self.audit.record(*told, who=self.who, session=session, since_s=self.started_s)
        self.is_recorded |= bool(decisions)

    def complete(self, kind: str, operation: Operation, request: BaseModel, answer: Answer) -> Answer:
        """The answer, once it is known that the call has left, or at its end will leave, an entry."""
        if not must_record(operation):
            return answer
        if isinstance(answer, ArtifactStream):
            chunks = self._to_the_end(answer.chunks, kind, operation, request)
            return ArtifactStream(chunks, answer.media_type, answer.filename)
        if isinstance(answer, BaseModel | Artifact):
            self._leave(kind, operation, request, answer)
            return answer
        return self._to_the_end(answer, kind, operation, request)

    def _to_the_end(self, parts: Iterator[Any], kind: str, operation: Operation, request: BaseModel) -> Iterator[Any]:
        try:
            yield from parts
        except GeneratorExit:  # whoever listened left: what was done until then counts
            self._leave(kind, operation, request, None)
            raise
        self._leave(kind, operation, request, None)

    def _leave(self, kind: str, operation: Operation, request: BaseModel, answer: BaseModel | Artifact | None) -> None:
        if self.is_recorded:
            return
        named = re.findall(r"{(\w+)}", operation.path)
        subject = "/".join(str(getattr(request, name)) for name in named) or _id_of(answer)
        outcome = {} if answer is None else {"answer_sha256": fingerprint(answer)}
        self(Decision(kind, subject[:128], fingerprint(request), outcome, "none"))


def fingerprint(told: BaseModel | Artifact) -> str:
    """SHA-256 of a request's or an answer's canonical JSON, in which a file's bytes stand as their own SHA-256."""
    content = told.model_dump() if isinstance(told, BaseModel) else vars(told)
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: Any) -> str:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)


def _id_of(answer: BaseModel | Artifact | None) -> str:
    fields = type(answer).model_fields if isinstance(answer, BaseModel) else ()
    return next((str(getattr(answer, name)) for name in fields if name.endswith("_id")), "")
