"""What becomes of a change that was asked for: a person's approval, the execution, the report. Ignores how it is said.

    submit ─┬─ needs a person ─> wait ═ interrupt ═> decided ─┬─ approved ─> execute ─> report
            │                                                └─ rejected ────────────> report
            └─ needs none ───────────────────────────────────────────────> execute ─> report

The row in `support_actions` is the truth, written before each step; the graph's thread (one an action) is resumed by
`Command(resume=...)`, in whatever process. Every node may run twice: `execute` is keyed by the action's id, `report`
changes the row's state in the transaction of its message. So an action that was accepted (its row says approved)
happens once, whenever the process dies; `recover` finishes what a dead one left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Database
from sqlalchemy.orm import sessionmaker

from verticals.contract import Conflict, Context, Decision, NotFound, TriviumError
from verticals.support.checkpoints import thread_id
from verticals.support.policy import sorry
from verticals.support.schemas import (
    Action,
    ActionStatus,
    ApprovalPage,
    DecideApprovalRequest,
    ListApprovalsRequest,
    TicketStatus,
)
from verticals.support.sessions import add_message, count
from verticals.support.shop.executor import POLICY_VERSION, Executor
from verticals.support.shop.tool import Shopper
from verticals.support.shop.tools import CHANGES, find_tool, parse_args
from verticals.support.tables import ActionRow, SessionRow, TicketRow
from verticals.undisturbed import hold

DECLINED = "A colleague has looked at your request and declined to"
_DECIDED = (ActionStatus.APPROVED.value, ActionStatus.REJECTED.value)
_LEFT = (ActionRow.status.in_(_DECIDED), ActionRow.outcome.is_(None))  # accepted, and not done


class State(TypedDict, total=False):
    """Which row to look at, and what executing it gave."""

    action_id: str
    status: str
    outcome: str


class OnFailed(Protocol):
    """Told of an approved change of a session that could not be made, in the transaction that notes it."""

    def __call__(self, db: Database, action: Action, outcome: str, context: Context) -> None: ...


class ActionDesk:
    """Takes changes in, lets people decide, runs each once."""

    def __init__(
        self,
        sessions: sessionmaker[Database],
        executor: Executor,
        checkpointer: BaseCheckpointSaver[Any],
        on_failed: OnFailed,
    ) -> None:
        self._sessions, self._executor, self._on_failed = sessions, executor, on_failed
        self._graph = self._compile(checkpointer)

    def submit(
        self,
        tool: str,
        args: Mapping[str, Any],
        context: Context,
        *,
        action_id: str,
        customer: str,
        asked_at: datetime,
        session_id: str | None = None,
        ticket_id: str | None = None,
        is_approved: bool = False,
    ) -> Action:
        """Accept a change and take it as far as it goes without a person; the same id again goes on where it was.

        Args:
            tool: One that changes something.
            args: Its arguments.
            context: Who asks, for the audit trail.
            action_id: Names the request for all time, see `action_id_of`.
            customer: For whom, from an authenticated key.
            asked_at: When the customer asked; the shop's deadlines count to then.
            session_id: Where the outcome is told.
            ticket_id: Likewise.
            is_approved: A person with the right to approve asks.

        Raises:
            NotFound, InvalidInput, Conflict: as `Executor.plan`; nothing is accepted.
        """
        if tool not in CHANGES:
            raise NotFound(f"must be one of {', '.join(CHANGES)}", field="tool", value=tool)
        if self._find(action_id, context.tenant) is None:  # else it was asked before: go on from there
            plan = self._executor.plan(tool, args, Shopper(context.tenant, customer, asked_at))
            waits = find_tool(tool).needs_approval and not is_approved
            row = ActionRow(
                tenant=context.tenant,
                action_id=action_id,
                customer=customer,
                session_id=session_id,
                ticket_id=ticket_id,
                tool=tool,
                args=parse_args(find_tool(tool), args).model_dump(mode="json"),
                words=plan.words,
                status=(ActionStatus.WAITING if waits else ActionStatus.APPROVED).value,
                asked_at=asked_at,
                decided_by=context.actor if is_approved else None,
                decided_at=datetime.now(UTC) if is_approved else None,
                note="",
            )
            with suppress(IntegrityError), self._sessions.begin() as db:  # or just now, by another process
                db.add(row)
        return self._advance(action_id, context)

    def decide(self, request: DecideApprovalRequest, context: Context) -> Action:
        """Write a person's decision down, then act on it.

        Raises:
            NotFound: no such action.
            InvalidInput, Conflict: the edited arguments do not fit; or it is decided already.
        """
        with self._sessions() as db:
            row = db.get(ActionRow, (context.tenant, request.action_id), with_for_update=True)
            if row is None:
                raise NotFound("no such action", field="action_id", value=request.action_id, remedy="List approvals.")
            if row.status != ActionStatus.WAITING:
                raise Conflict("is decided already", field="action_id", value=request.action_id)
            if request.args and request.decision != "edit":
                raise Conflict("new arguments are an edit", field="args", remedy="Send decision=edit.")
            args, words = row.args, row.words
            if request.decision == "edit":
                args = {**row.args, **request.args}
                words = self._executor.plan(row.tool, args, _shopper(row)).words
            status = ActionStatus.REJECTED if request.decision == "reject" else ActionStatus.APPROVED
            taken = db.execute(
                update(ActionRow)
                .where(ActionRow.tenant == context.tenant, ActionRow.action_id == request.action_id)
                .where(ActionRow.status == ActionStatus.WAITING.value)
                .values(
                    status=status.value,
                    args=args,
                    words=words,
                    decided_by=context.actor,
                    decided_at=datetime.now(UTC),
                    note=request.note,
                )
            )
            if taken.rowcount == 0:  # type: ignore[attr-defined]
                raise Conflict("is decided already", field="action_id", value=request.action_id)
            context.record(
                Decision(
                    kind="support.approval",
                    subject=request.action_id,
                    input_sha256=hashlib.sha256(json.dumps(args, sort_keys=True).encode()).hexdigest(),
                    outcome={"tool": row.tool, "decision": request.decision},
                    model_version="person",
                    policy_version=POLICY_VERSION,
                ),
                session=db,
            )
            db.commit()
        return self._advance(request.action_id, context)

    def _find(self, action_id: str, tenant: str) -> Action | None:
        with self._sessions() as db:
            row = db.get(ActionRow, (tenant, action_id))
            return to_action(row) if row else None

    def _get(self, action_id: str, tenant: str) -> Action:
        action = self._find(action_id, tenant)
        assert action is not None, "an action's row is written before its thread begins"
        return action

    def failures(self, ticket_id: str, tenant: str) -> int:
        """How often a ticket's action was tried and forbidden by the shop's rules."""
        mine = (ActionRow.tenant == tenant, ActionRow.ticket_id == ticket_id)
        with self._sessions() as db:
            return count(db, select(ActionRow).where(*mine, ActionRow.status == ActionStatus.FAILED.value))

    def of_session(self, session_id: str, tenant: str) -> list[Action]:
        """A session's actions, oldest first."""
        mine = (ActionRow.tenant == tenant, ActionRow.session_id == session_id)
        with self._sessions() as db:
            return [to_action(r) for r in db.scalars(select(ActionRow).where(*mine).order_by(ActionRow.asked_at))]

    def page(self, request: ListApprovalsRequest, context: Context) -> ApprovalPage:
        """A page of the actions that need or needed a person, oldest first."""
        person = [name for name in CHANGES if find_tool(name).needs_approval]
        mine = select(ActionRow).where(ActionRow.tenant == context.tenant, ActionRow.tool.in_(person))
        if request.status is not None:
            mine = mine.where(ActionRow.status == request.status.value)
        page = mine.order_by(ActionRow.asked_at, ActionRow.action_id).limit(request.limit).offset(request.offset)
        with self._sessions() as db:
            return ApprovalPage(approvals=[to_action(row) for row in db.scalars(page)], total=count(db, mine))

    def tenants_left(self) -> list[str]:
        """Tenants that have something to `recover`."""
        with self._sessions() as db:
            return list(db.scalars(select(ActionRow.tenant).where(*_LEFT).distinct().order_by(ActionRow.tenant)))

    def recover(self, context: Context) -> int:
        """Finish what was accepted and not done, after a crash; how many there were."""
        with self._sessions() as db:
            left = list(db.scalars(select(ActionRow.action_id).where(ActionRow.tenant == context.tenant, *_LEFT)))
        for action_id in left:
            self._advance(action_id, context)
        return len(left)

    # --- the graph -------------------------------------------------------------------------------------------------

    def _compile(self, checkpointer: BaseCheckpointSaver[Any]) -> Any:
        graph = StateGraph(State, context_schema=Context)
        for node in (self._wait, self._execute, self._report):
            graph.add_node(node.__name__, node)
        graph.add_edge(START, "_wait")
        graph.add_conditional_edges("_wait", self._route_decided, ["_execute", "_report"])
        graph.add_edge("_execute", "_report")
        graph.add_edge("_report", END)
        return graph.compile(checkpointer=checkpointer)

    def _advance(self, action_id: str, context: Context) -> Action:
        """Run the action's thread to its end, or to the person it waits for."""
        config = {"configurable": {"thread_id": thread_id(context.tenant, action_id)}}
        action = self._get(action_id, context.tenant)
        if action.outcome is None:
            is_interrupted = bool(self._graph.get_state(config).interrupts)
            start: Any = Command(resume=action.status.value) if is_interrupted else State(action_id=action_id)
            self._graph.invoke(start, config, context=context, durability="exit")
        return self._get(action_id, context.tenant)

    def _wait(self, state: State, runtime: Runtime[Context]) -> State:
        """Until a person has decided; the row says what, whoever resumes the thread with whatever value."""
        while self._get(state["action_id"], runtime.context.tenant).status == ActionStatus.WAITING:
            interrupt({"action_id": state["action_id"]})
        return {}

    def _route_decided(self, state: State, runtime: Runtime[Context]) -> str:
        action = self._get(state["action_id"], runtime.context.tenant)
        return "_execute" if action.status == ActionStatus.APPROVED else "_report"

    def _execute(self, state: State, runtime: Runtime[Context]) -> State:
        """The side effect, alone in its node; it happens once, however often this runs."""
        context, action = runtime.context, self._get(state["action_id"], runtime.context.tenant)
        who = Shopper(context.tenant, action.customer, action.asked_at)
        try:
            done = self._executor.execute(action.action_id, action.tool, action.args, who, record=context.record)
        except TriviumError as error:  # a rule of the shop forbids it by now: told, not tried again
            return {"status": ActionStatus.FAILED.value, "outcome": sorry(error)}
        return {"status": ActionStatus.DONE.value, "outcome": done.outcome}

    def _report(self, state: State, runtime: Runtime[Context]) -> State:
        """Tell the outcome where the change was asked for."""
        action = self._get(state["action_id"], runtime.context.tenant)
        if action.status == ActionStatus.REJECTED:
            why = f": {action.note}" if action.note else "."
            self._finish(action, ActionStatus.REJECTED, f"{DECLINED} {action.words}{why}", runtime.context)
        else:
            self._finish(action, ActionStatus(state["status"]), state["outcome"], runtime.context)
        return {}

    def _finish(self, action: Action, status: ActionStatus, outcome: str, context: Context) -> None:
        """State, message and ticket in one transaction, by whoever comes first."""
        tenant = context.tenant
        mine = (ActionRow.tenant == tenant, ActionRow.action_id == action.action_id)
        change = update(ActionRow).where(*mine, ActionRow.outcome.is_(None))
        with self._sessions.begin() as db:
            if db.execute(change.values(status=status.value, outcome=outcome)).rowcount == 0:  # type: ignore[attr-defined]
                return
            if action.ticket_id and status == ActionStatus.DONE:
                ticket = db.get_one(TicketRow, (tenant, action.ticket_id))
                ticket.outcome, ticket.status = outcome, TicketStatus.CLOSED.value
            tells = action.session_id and action.needs_approval  # else the answer to the customer's yes tells it
            if tells:
                hold(db, SessionRow, SessionRow.tenant == tenant, SessionRow.session_id == action.session_id)
            if tells and (row := db.get(SessionRow, (tenant, action.session_id))):  # gone if they are forgotten
                add_message(db, row, role="assistant", content=outcome, action_id=action.action_id)
                if status == ActionStatus.FAILED:
                    self._on_failed(db, action, outcome, context)


def action_id_of(*names: str) -> str:
    """The id of a request, and so the key of its effect: the same names, the same id."""
    return f"A-{hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:20]}"


def to_action(row: ActionRow) -> Action:
    """A row as it is shown."""
    return Action(
        action_id=row.action_id,
        tool=row.tool,
        args=row.args,
        words=row.words,
        status=ActionStatus(row.status),
        needs_approval=find_tool(row.tool).needs_approval,
        customer=row.customer,
        session_id=row.session_id,
        ticket_id=row.ticket_id,
        asked_at=row.asked_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        note=row.note,
        outcome=row.outcome,
    )


def _shopper(row: ActionRow) -> Shopper:
    return Shopper(row.tenant, row.customer, row.asked_at)
