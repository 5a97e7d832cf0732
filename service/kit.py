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
    ) -> BaseModel | Artifact | ArtifactStream | Iterator[BaseModel]:
        """Run one operation for `caller`; a streaming one returns an iterator of events.

        Args:
            vertical: Its name.
            name: Of the operation.
            request: Of the operation's model.
            caller: Who asks.
            request_id: For log and audit.
            answered_by: Is filled with the versions of the live models that answer.

        Raises:
            TriviumError: as the operation's handler says; `PermissionDenied` when the key does not cover it.
        """
        operation = self.operation(vertical, name)
        if caller.customer is None:
            caller.require(f"{vertical}.{name}")
        elif not operation.for_customers:
            raise PermissionDenied("a customer's key does not cover the operation", field="operation", value=name)
        who = caller.who(request_id)
        recording = Recording(self.audit, who)
        context = Context(**who, record=recording, customer=caller.customer)
        handler, named = self.handlers[vertical][operation.name], f"{vertical}.{name}"
        found: BaseModel | Artifact | ArtifactStream | Iterator[BaseModel]
        if operation.streaming:
            found = in_span(named, cast("Iterator[BaseModel]", handler(request, context)))
        else:
            with span(named):
                found = handler(request, context)
        if answered_by is not None:
            answered_by.update(context.answered_by)
        return recording.complete(named, operation, request, found)
