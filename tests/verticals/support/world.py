"""The whole vertical over the demo shop, without models: sign a customer in, talk, let people decide, restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from tests.verticals.support.fakes import ListRetriever, ScriptedModel, Trail, Unprepared, context
from verticals.contract import Context, Resources
from verticals.support import schemas as s
from verticals.support.handlers import assemble
from verticals.support.listening import Listener, Reader
from verticals.support.shop.demo_data import add_demo_shop
from verticals.support.shop.tables import ExecutionRow, RefundRow
from verticals.support.state.rules import RuleScorer
from verticals.support.state.shop import shop_services
from verticals.support.state.tracker import StateTracker

ADA = "C-1001"  # the demo customer; her orders are listed in shop/demo_data.py
BEN = "C-1002"
SMALL_MODEL = "smollm2-135m-fake"  # quotes, proposes nothing


class World:
    """Handlers over one database; `restart` builds them anew, as a new process would."""

    def __init__(self, sessions: sessionmaker[Session], reader: Reader | None = None) -> None:
        self.sessions, self.trail, self.reader = sessions, Trail(), reader
        self.model, self.knowledge = ScriptedModel(script="{}"), ListRetriever()
        self.model_version = SMALL_MODEL
        add_demo_shop(sessions, "demo")
        self.restart()

    def restart(self) -> None:
        """Forget everything that is not on disk."""
        self.resources = Resources(
            engine=SimpleNamespace(model_version=self.model_version),  # type: ignore[arg-type]
            chat_model=self.model,
            retriever=self.knowledge,  # type: ignore[arg-type]
            registry=Unprepared(),
            sessions=self.sessions,
            data_dir=None,
        )
        tracker = StateTracker(shop_services(), RuleScorer())
        self.handlers = assemble(self.resources, Listener(self.reader), tracker)

    def key(self, customer: str | None = ADA, *, tenant: str = "demo") -> Context:
        """Who asks; a customer, or the shop's staff for None."""
        return replace(context(self.trail, tenant=tenant), customer=customer)

    def call(self, operation: str, request: Any, *, who: Context | None = None) -> Any:
        """One operation, by staff unless told otherwise."""
        return self.handlers[operation](request, who or self.key(None))

    def begin(self, customer: str | None = ADA) -> str:
        """A new session's id."""
        return str(self.call("create_session", s.CreateSessionRequest(), who=self.key(customer)).session_id)

    def say(self, session_id: str, *texts: str, customer: str | None = ADA) -> list[Any]:
        """Send messages one after another; the events of the last answer."""
        events: list[Any] = []
        for text in texts:
            request = s.SendMessageRequest(session_id=session_id, content=text)
            events = [event.root for event in self.call("send_message", request, who=self.key(customer))]
        return events

    def history(self, session_id: str, customer: str | None = ADA) -> s.SessionHistory:
        """The session as its customer sees it."""
        found: s.SessionHistory = self.call(
            "get_session", s.SessionRequest(session_id=session_id), who=self.key(customer)
        )
        return found

    def waiting(self) -> list[s.Action]:
        """What waits for approval."""
        page: s.ApprovalPage = self.call("list_approvals", s.ListApprovalsRequest())
        return page.approvals

    def decide(self, action_id: str, decision: str = "approve", **more: Any) -> s.Action:
        """A person's decision."""
        request = s.DecideApprovalRequest.model_validate({"action_id": action_id, "decision": decision, **more})
        action: s.Action = self.call("decide_approval", request)
        return action

    def refunds(self) -> list[tuple[str, int, str]]:
        """Order, item and amount of every refund."""
        with self.sessions() as db:
            return [(r.order_id, r.item, str(r.amount)) for r in db.scalars(select(RefundRow))]

    def executions(self) -> Sequence[str]:
        """Tools that changed something, in order."""
        with self.sessions() as db:
            return [r.tool for r in db.scalars(select(ExecutionRow).order_by(ExecutionRow.created_at))]


def text_of(events: Sequence[Any]) -> str:
    """What an answer says."""
    return "".join(event.text for event in events if event.type == "delta")
