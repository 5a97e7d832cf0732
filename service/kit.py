"""The running kit: every vertical's handlers behind one `invoke`, with the audit trail. Ignores transport.

API, CLI, batch and evaluation all come through here, so a decision is recorded the same way wherever it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from service.asking import ASKING, Asking, asked_for, each_asked_for
from service.audit import AuditLog
from service.auth import Caller, KeyRing
from service.recorded import Recording
from service.registry import FileRegistry
from service.rollouts import Rollouts
from service.scope import in_span, span
from service.settings import Settings
from verticals.contract import (
    Artifact,
    ArtifactStream,
    Context,
    Handler,
    NotFound,
    Operation,
    PermissionDenied,
    Resources,
    Vertical,
)

if TYPE_CHECKING:
    from core_model.models import ModelPool
    from service.oidc import TokenVerifier
    from service.tracing import Tracing


@dataclass(frozen=True)
class Kit:
    """Everything that `service.wiring` built."""

    settings: Settings
    database: Engine
    sessions: sessionmaker[Session]
    audit: AuditLog
    keys: KeyRing
    registry: FileRegistry
    resources: Resources
    verticals: Mapping[str, Vertical]
    handlers: Mapping[str, Mapping[str, Handler]]
    rollouts: Rollouts
    close: Callable[[], None]
    models: ModelPool | None = None  # None with a remote engine
    tokens: TokenVerifier | None = None  # None without an issuer
    tracing: Tracing | None = None  # None: not traced

    def operation(self, vertical: str, name: str) -> Operation:
        """The declared operation.

        Raises:
            NotFound: no such vertical or operation.
        """
        if vertical not in self.verticals:
            raise NotFound(f"must be one of {', '.join(self.verticals)}", field="vertical", value=vertical)
        operations = {operation.name: operation for operation in self.verticals[vertical].operations}
        if name not in operations:
            raise NotFound(f"must be one of {', '.join(operations)}", field="operation", value=name)
        return operations[name]

    def invoke(
        self,
        vertical: str,
        name: str,
        request: BaseModel,
        *,
        caller: Caller,
        request_id: str,
        answered_by: dict[str, str] | None = None,
        on_record: Callable[[Session], None] | None = None,
    ) -> BaseModel | Artifact | ArtifactStream | Iterator[BaseModel]:
        """Run one operation for `caller`; a streaming one returns an iterator of events.

        Args:
            vertical: Its name.
            name: Of the operation.
            request: Of the operation's model.
            caller: Who asks.
            request_id: For log and audit.
            answered_by: Is filled with the versions of the live models that answer.
            on_record: Called in the one transaction of a whole request (`service.recorded.is_whole`).

        Raises:
            TriviumError: as the operation's handler says; `PermissionDenied` when the key does not cover it.
        """
        operation = self.operation(vertical, name)
        if caller.customer is None:
            caller.require(f"{vertical}.{name}")
        elif not operation.for_customers:
            raise PermissionDenied("a customer's key does not cover the operation", field="operation", value=name)
        who = caller.who(request_id)
        noted = {} if answered_by is None else answered_by
        recording = Recording(self.audit, who, noted, on_record)
        context = Context(**who, record=recording, customer=caller.customer)
        asking = Asking(self._subject(vertical, request, context), request_id, noted)
        handler, named = self.handlers[vertical][operation.name], f"{vertical}.{name}"
        found: BaseModel | Artifact | ArtifactStream | Iterator[BaseModel]
        if operation.streaming:
            with asked_for(asking):
                events = cast("Iterator[BaseModel]", handler(request, context))
            found = each_asked_for(asking, in_span(named, events))
        else:
            with span(named), asked_for(asking):
                found = handler(request, context)
        noted.update(context.answered_by)
        return recording.complete(named, operation, request, found)

    def _subject(self, vertical: str, request: BaseModel, context: Context) -> str:
        """Whom a request is about; who is named sees one edition of the core. Else what it belongs to, or it itself."""
        named = context.subject(request, self.verticals[vertical].subjects)
        around = ASKING.get()
        return around.subject if named is None and around else f"{context.tenant}\0{named or context.request_id}"
