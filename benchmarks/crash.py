"""Kill -9 while tools execute: is every accepted action there, exactly once, after a restart?

    python -m benchmarks.crash [--kills 200] [--seed 0] [--json FILE]

Each round, on a fresh copy of the demo shop in one database: a worker process answers customers, takes decisions and
runs tickets without end. Through a pipe it tells when it begins a call that executes a tool, and which action the call
has acknowledged. A random number of calls on, at a random moment from the beginning of the next, it gets a SIGKILL.
A second process does what a restarted server's first calls do. Then the database is read: every action that was
acknowledged, and every one whose row says approved, must be done, with one execution, one effect and one entry in the
audit trail; no effect may stand without its execution; every message must have one answer. No model takes part.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.setting import machine
from service.audit import AuditLog
from service.audit_tables import AuditEntry
from service.registry import FileRegistry
from service.storage import make_sessions, migrate, open_database
from verticals.contract import Context, Resources
from verticals.support import schemas as s
from verticals.support.handlers import build
from verticals.support.shop.demo_data import add_demo_shop
from verticals.support.shop.tables import ExecutionRow, LineRow, MembershipRow, OrderRow, RefundRow
from verticals.support.tables import ActionRow, MessageRow

MOST_CALLS = 5  # that a worker is let finish
LONGEST_S = 0.4  # from the beginning of the last call; on a busy machine a call takes about as long
BEGIN = "begin"
FORK = multiprocessing.get_context("fork")  # a new process without the seconds that imports take


@dataclass
class Found:
    """What the rounds gave."""

    kills: int = 0
    mid_call: int = 0  # kills within a call that executes a tool
    left_approved: int = 0  # kills that left an approved action unfinished
    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    unanswered: int = 0
    unproved: int = 0  # effects without an execution, or the other way round


class OneVector:
    """An embedder to which all texts are alike."""

    name, dim = "one vector", 1

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Ones."""
        return np.ones((len(texts), 1), np.float32)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """One."""
        return np.ones(1, np.float32)


class NoArticles:
    """A knowledge base that holds nothing."""

    embedder = OneVector()

    def version(self, tenant: str) -> None:
        """It has none."""

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """One."""
        return self.embedder.embed_query(text)

    def search(self, query: str, *, tenant: str, acl: Any = (), k: int = 5, query_D: Any = None) -> list[Any]:
        """Nothing."""
        return []


class Shop:
    """The vertical over one database, as a new process builds it."""

    def __init__(self, url: str, tenant: str) -> None:
        self.sessions = make_sessions(open_database(url))
        self.tenant, self._audit = tenant, AuditLog(self.sessions)
        resources = Resources(
            engine=SimpleNamespace(model_version="smollm2-135m-none"),
            chat_model=FakeListChatModel(responses=["{}"]),
            retriever=NoArticles(),  # type: ignore[arg-type]
            registry=FileRegistry(Path("nowhere")),  # nothing is prepared: rules read messages
            sessions=self.sessions,
            data_dir=None,
        )
        self._handlers = build(resources)

    def call(self, operation: str, request: Any, customer: str | None = None) -> Any:
        """One operation, by a customer or by staff."""
        who = {"tenant": self.tenant, "actor": customer or "staff", "request_id": "crash"}
        context = Context(**who, record=partial(self._audit.record, who=who), customer=customer)
        return self._handlers[operation](request, context)

    def say(self, session: str, text: str, customer: str) -> Iterator[s.ChatEvent]:
        """The events of one answer."""
        request = s.SendMessageRequest(session_id=session, content=text)
        events: Iterator[s.ChatEvent] = self.call("send_message", request, customer)
        return events


def main() -> None:
    """Kill, count, print; fail if anything was lost or doubled."""
    args = _arguments()
    draw, found = random.Random(args.seed), Found()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/crash.db"
        migrate(url)
        for number in range(args.kills):
            play_round(url, f"crash-{number}", draw, found)
            if (number + 1) % 20 == 0:
                print(f"{number + 1} kills: {found}", flush=True)
    print(f"# {machine()}")
    print(f"{found.kills} kills: {found.mid_call} within a call that executes a tool, {found.left_approved} of them")
    print(f"between approval and end; {found.accepted} actions accepted")
    print(f"lost {found.lost}, doubled {found.doubled}, unanswered {found.unanswered}, unproved {found.unproved}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), **vars(found)}), "utf-8")
    sys.exit(1 if found.lost or found.doubled or found.unanswered or found.unproved else 0)


def play_round(url: str, tenant: str, draw: random.Random, found: Found) -> None:
    """One worker, one kill, one restart, one look."""
    here, there = FORK.Pipe(duplex=False)
    worker = FORK.Process(target=_work, args=(url, tenant, there))
    worker.start()
    there.close()
    calls = draw.randint(0, MOST_CALLS)
    told = [here.recv()]
    while told.count(BEGIN) <= calls:
        told.append(here.recv())
    time.sleep(draw.uniform(0, LONGEST_S))
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    try:
        while True:
            told.append(here.recv())
    except EOFError:
        pass
    found.kills += 1
    found.mid_call += told[-1] == BEGIN
    found.left_approved += _left_approved(url, tenant)
    restarted = FORK.Process(target=_restart, args=(url, tenant))
    restarted.start()
    restarted.join()
    assert restarted.exitcode == 0, "the restarted process failed"
    _look(url, tenant, set(told) - {BEGIN}, found)


def _work(url: str, tenant: str, tell: Connection) -> None:
    """Serve customers and staff until killed; tell each call that executes, and what it acknowledged."""
    shop = Shop(url, tenant)
    add_demo_shop(shop.sessions, tenant)
    with shop.sessions() as db:
        mine = (OrderRow.tenant == tenant, OrderRow.status == "delivered")
        orders = db.execute(select(OrderRow.order_id, OrderRow.customer_id).where(*mine)).all()
        lines = {
            o: db.scalars(select(LineRow).where(LineRow.tenant == tenant, LineRow.order_id == o)).all()
            for o, _ in orders
        }
    for order_id, customer in orders:
        for line in lines[order_id]:
            text = f"Please refund the {line.title} of order {order_id}, it is faulty."
            if line.item % 2:
                _refund_in_session(shop, text, customer, tell)
            else:
                _refund_by_ticket(shop, text, customer, tell)
        _toggle_membership(shop, customer, tell)
    while True:  # everything is done: wait for the end
        time.sleep(1)


def _refund_in_session(shop: Shop, text: str, customer: str, tell: Connection) -> None:
    session = shop.call("create_session", s.CreateSessionRequest(), customer).session_id
    list(shop.say(session, text, customer))
    list(shop.say(session, "yes", customer))
    for action in shop.call("list_approvals", s.ListApprovalsRequest()).approvals:
        decision = s.DecideApprovalRequest(action_id=action.action_id, decision="approve")
        tell.send(BEGIN)
        tell.send(shop.call("decide_approval", decision).action_id)


def _refund_by_ticket(shop: Shop, text: str, customer: str, tell: Connection) -> None:
    request = s.CreateTicketRequest(messages=[s.Message(role="user", content=text)])
    ticket = shop.call("create_ticket", request, customer)
    if ticket.action:
        tell.send(BEGIN)
        shop.call("run_ticket", s.RunTicketRequest(ticket_id=ticket.ticket_id))
        tell.send(ticket.ticket_id)


def _toggle_membership(shop: Shop, customer: str, tell: Connection) -> None:
    session = shop.call("create_session", s.CreateSessionRequest(), customer).session_id
    list(shop.say(session, "Please turn off the renewal of my membership.", customer))
    tell.send(BEGIN)
    for event in shop.say(session, "yes", customer):
        if isinstance(event.root, s.ActionEvent):
            tell.send(event.root.action.action_id)


def _left_approved(url: str, tenant: str) -> bool:
    engine = open_database(url)
    with Session(engine) as db:
        approved = select(ActionRow).where(ActionRow.tenant == tenant, ActionRow.status == "approved")
        left = db.scalars(approved).first() is not None
    engine.dispose()
    return left


def _restart(url: str, tenant: str) -> None:
    """The first calls after a restart: the console lists approvals, customers come back."""
    shop = Shop(url, tenant)
    shop.call("list_approvals", s.ListApprovalsRequest())
    with shop.sessions() as db:
        owed = select(MessageRow.session_id).where(MessageRow.tenant == tenant, MessageRow.wants_answer)
        sessions = db.scalars(owed).all()
    for session in sessions:
        customer = shop.call("get_session", s.SessionRequest(session_id=session)).customer
        list(shop.call("resume_session", s.SessionRequest(session_id=session), customer))


def _look(url: str, tenant: str, acknowledged: set[str], found: Found) -> None:
    engine = open_database(url)
    with Session(engine) as db:
        actions = db.scalars(select(ActionRow).where(ActionRow.tenant == tenant)).all()
        keys = db.scalars(select(ExecutionRow.key).where(ExecutionRow.tenant == tenant)).all()
        tools = Counter(db.scalars(select(ExecutionRow.tool).where(ExecutionRow.tenant == tenant)).all())
        refunds = db.scalars(select(RefundRow).where(RefundRow.tenant == tenant)).all()
        paused = db.scalars(
            select(MembershipRow).where(MembershipRow.tenant == tenant, MembershipRow.status == "paused")
        ).all()
        audited = Counter(
            db.scalars(
                select(AuditEntry.subject).where(AuditEntry.tenant == tenant, AuditEntry.kind == "support.execute")
            ).all()
        )
        messages = db.scalars(select(MessageRow).where(MessageRow.tenant == tenant)).all()
    engine.dispose()
    by_id = {action.action_id: action for action in actions} | {a.ticket_id: a for a in actions if a.ticket_id}
    accepted = [action for action in actions if action.decided_at or action.status in ("approved", "done", "failed")]
    found.accepted += len(accepted)
    found.lost += sum(name not in by_id for name in acknowledged)
    found.lost += sum(a.status != "done" or a.action_id not in keys for a in accepted)
    found.doubled += sum(times - 1 for times in audited.values())
    found.unproved += abs(len(refunds) - tools["request_refund"]) + abs(len(paused) - tools["pause_subscription"])
    found.unproved += sum(key not in audited for key in keys)
    said = Counter(m.role for m in messages if not m.action_id)
    found.unanswered += said["customer"] - said["assistant"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
