"""Tickets that the embedded model writes: how many obey their schema, and how many actions the shop can run.

    python -m benchmarks.tickets [--tickets 1000] [--free 60] [--models DIR] [--threads N] [--batch 8] [--json FILE]

Conversations: those of ticket_talks.jsonl and seeded variations on the demo shop's customers, orders and items (all
synthetic). Each ticket is written under its grammar; the text is parsed and validated by jsonschema, a second
implementation beside the one that constrains (llguidance). Its action is then executed, for real, by the shop's own
executor on a fresh copy of the shop. The baseline writes the first --free tickets from the same prompts, without a
grammar. Intervals: Wilson, 95 %.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.setting import MODELS, THREADS, machine
from core_model.chat_model import EngineChatModel
from core_model.embedded import prepare_default_model
from core_model.loading import load_engine
from verticals.bootstrap import wilson_interval
from verticals.contract import Base, Decision, TriviumError
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.policy import Policy
from verticals.support.rule_planner import RulePlanner
from verticals.support.schemas import Message, TicketAction, TicketCategory, TicketPriority
from verticals.support.shop.demo_data import add_demo_shop
from verticals.support.shop.executor import Executor
from verticals.support.shop.tables import CustomerRow, LineRow, OrderRow
from verticals.support.shop.tool import Shopper
from verticals.support.ticket_writing import read_json, write_json
from verticals.support.triage import decide_category, decide_priority

TENANT = "bench"
MAX_IDLE = 0.15  # share of conversations that ask for nothing that the shop's rules allow; their tickets have no action
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
OPENINGS = ("", "Hello. ", "Hi there, ", "Good morning! ", "I am quite upset. ", "Sorry to bother you. ")
CLOSINGS = ("", " Thanks.", " Please be quick.", " This is the second time I write.", " Thank you so much!")
REASONS = ("it arrived damaged", "it is faulty", "it is the wrong item", "I no longer want it", "it stopped working")
STREETS = ("12 Elm Street", "400 Pine Avenue", "7 Lake Road", "88 Hill Drive Apt 4")
PLACES = ("Springfield, IL 62704", "Dayton, OH 45402", "Austin, TX 78701")


@dataclass(frozen=True)
class Case:
    """A conversation, whose it is, and what the shop could do about it."""

    customer: str
    window: list[Message]
    actions: list[TicketAction]
    category: TicketCategory
    priority: TicketPriority


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    args = _arguments()
    sessions = _fresh_shop()
    cases = make_cases(sessions, args.tickets)
    acting = sum(bool(case.actions) for case in cases)
    print(f"# {machine()}; {len(cases)} tickets, {acting} with an action, {args.batch} at once")
    folder = prepare_default_model(args.models, lambda what, done: None)
    engine, tokenizer = load_engine(folder, device="cpu", max_batch=args.batch, num_threads=args.threads)
    with engine:
        model = EngineChatModel(engine=engine, tokenizer=tokenizer)
        free = _measure(model, cases[: args.free], batch=args.batch, constrained=False)
        _print("no grammar", free)
        rows = _measure(model, cases, batch=args.batch, constrained=True)
    _print("grammar", rows)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "grammar": rows, "free": free}, indent=1), "utf-8")
    sys.exit(0 if all(row["valid"] and row["executable"] is not False for row in rows) else 1)


def make_cases(sessions: sessionmaker[Session], count: int) -> list[Case]:
    """The written conversations, then seeded variations; the same every time."""
    policy = Policy(RulePlanner(), Executor(sessions))
    cases: list[Case] = []
    for customer, talk in _talks(sessions):
        window = [Message(role="assistant" if i % 2 else "user", content=text) for i, text in enumerate(talk)]
        actions = policy.possible_actions(window, Shopper(TENANT, customer, NOW))
        said = talk[::2]
        if not actions and sum(not case.actions for case in cases) > MAX_IDLE * count:
            continue
        cases.append(Case(customer, window, actions, decide_category(said), decide_priority(said)))
        if len(cases) == count:
            return cases
    raise AssertionError("the variations never end")


def _talks(sessions: sessionmaker[Session]) -> Iterator[tuple[str, list[str]]]:
    lines = (KNOWLEDGE_DIR.parent / "ticket_talks.jsonl").read_text("utf-8").splitlines()
    for line in lines:
        yield "C-1001", json.loads(line)["talk"]
    draw = random.Random(4)
    with sessions() as session:
        customers = session.scalars(select(CustomerRow.customer_id)).all()
        orders = {c: session.scalars(select(OrderRow).where(OrderRow.customer_id == c)).all() for c in customers}
        items = {o.order_id: _titles(session, o) for mine in orders.values() for o in mine}
    while True:
        customer = draw.choice(customers)
        order = draw.choice(orders[customer])
        title, reason = draw.choice(items[order.order_id]), draw.choice(REASONS)
        where = f"{draw.choice(STREETS)}, {draw.choice(PLACES)}"
        asked = draw.choice(
            [
                f"I want a refund for the {title} of order {order.order_id}, {reason}.",
                f"Please refund the {title} from {order.order_id} because {reason}.",
                f"I would like to return the {title} in order {order.order_id}: {reason}.",
                f"Please cancel my order {order.order_id}, I ordered the {title} by mistake.",
                f"Please change the delivery address of order {order.order_id} to {where}.",
                f"I moved. Please change my address to {where}.",
                "I want to cancel my Maple Circle membership, it is not worth it.",
                "Please turn off the renewal of my Maple Circle membership.",
            ]
        )
        first = f"{draw.choice(OPENINGS)}{asked}{draw.choice(CLOSINGS)}"
        follow = ["I have passed this on.", f"When will somebody look at it? {reason.capitalize()}."]
        yield customer, [first, *(follow if draw.random() < 0.3 else [])]


def _titles(session: Session, order: OrderRow) -> list[str]:
    return list(session.scalars(select(LineRow.title).where(LineRow.order_id == order.order_id)))


def _fresh_shop() -> sessionmaker[Session]:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    add_demo_shop(sessions, TENANT, now=NOW)
    return sessions


def _measure(model: EngineChatModel, cases: Sequence[Case], *, batch: int, constrained: bool) -> list[dict[str, Any]]:
    def write(case: Case) -> dict[str, Any]:
        begin = time.perf_counter()
        text = write_json(model, case.window, case.category, case.priority, case.actions, constrained=constrained)
        seconds = time.perf_counter() - begin
        written = read_json(text, case.category, case.priority, case.actions)
        runs = _runs(case, written) if case.actions else None
        return {"valid": written is not None, "executable": runs, "seconds": seconds, "chars": len(text)}

    with ThreadPoolExecutor(batch) as pool:
        rows = []
        for number, row in enumerate(pool.map(write, cases), start=1):
            rows.append(row)
            if number % 25 == 0:
                bad = sum(not r["valid"] or r["executable"] is False for r in rows)
                print(f"{number} written, {bad} bad, {sum(r['seconds'] for r in rows) / number:.1f} s each", flush=True)
    return rows


def _runs(case: Case, written: dict[str, Any] | None) -> bool:
    """Whether the written action can be executed, by executing it on a fresh shop."""
    if not written:
        return False
    action = written["action"]
    who = Shopper(TENANT, case.customer, NOW)
    try:
        done = Executor(_fresh_shop()).execute("bench", action["tool"], action["args"], who, record=_forget)
    except TriviumError:
        return False
    return not done.is_replay


def _forget(*decisions: Decision, session: Session | None = None) -> None:
    """A benchmark decides nothing about anyone."""


def _print(name: str, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    runs = [row["executable"] for row in rows if row["executable"] is not None]
    for what, values in (("schema-valid", [row["valid"] for row in rows]), ("executable", runs)):
        low, high = wilson_interval(sum(values), len(values))
        print(
            f"{name:11} {what:13} {sum(values)}/{len(values)} = {sum(values) / len(values):.3f} [{low:.3f}, {high:.3f}]"
        )
    print(f"{name:11} seconds each, {sum(row['seconds'] for row in rows) / len(rows):.1f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=1_000)
    parser.add_argument("--free", type=int, default=60, help="Tickets of the baseline.")
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
