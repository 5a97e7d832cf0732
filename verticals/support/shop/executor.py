"""The one place where a tool changes something: once a key, in one transaction with its proof. Ignores who approved it.

The execution row is inserted first, the effect and the audit entry follow, then one commit. A process that is killed
before it has changed nothing; one that is killed after it finds the row, and gives the stored outcome again. Inserting
first also takes the write lock, so two calls with one key, or two changes of one order, stand in line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Conflict, Decision, Recorder
from verticals.support.shop.orders import find_lines, find_order
from verticals.support.shop.tables import ExecutionRow
from verticals.support.shop.tool import Plan, Shopper
from verticals.support.shop.tools import find_tool, parse_args

POLICY_VERSION = "shop-1"  # the rules in orders.py and memberships.py


@dataclass(frozen=True)
class Execution:
    """What a change gave, in words; `is_replay` if it had been made before."""

    outcome: str
    is_replay: bool


class Executor:
    """Runs the shop's tools for one customer at a time."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def plan(self, tool: str, args: Mapping[str, Any], who: Shopper) -> Plan:
        """What a tool would do, or what it reads; changes nothing.

        Raises:
            NotFound: no such tool, order or item for this customer.
            InvalidInput: the arguments are not the tool's.
            Conflict: a rule of the shop forbids it.
        """
        chosen = find_tool(tool)
        with self._sessions() as session:
            return chosen.plan(session, who, parse_args(chosen, args))

    def check(self, tool: str, order_id: str, who: Shopper) -> None:
        """Whether the order alone rules a tool out already.

        Raises:
            NotFound: no such tool or order for this customer.
            Conflict: a rule of the shop forbids it, whatever else is said.
        """
        if check := find_tool(tool).check:
            with self._sessions() as session:
                check(session, who, order_id)

    def titles(self, order_id: str, who: Shopper) -> list[str]:
        """Titles of an order's items, in order.

        Raises:
            NotFound: the customer has no such order.
        """
        with self._sessions() as session:
            return [line.title for line in find_lines(session, find_order(session, who, order_id))]

    def execute(self, key: str, tool: str, args: Mapping[str, Any], who: Shopper, *, record: Recorder) -> Execution:
        """Make a change; the same key again gives the outcome of the first time.

        Raises:
            NotFound, InvalidInput, Conflict: as `plan`; nothing was changed. Conflict also if the key was used for
                something else.
        """
        chosen = find_tool(tool)
        assert chosen.apply is not None, "a tool that only reads is planned, not executed"
        parsed = parse_args(chosen, args)
        row = ExecutionRow(
            tenant=who.tenant,
            key=key,
            customer_id=who.customer,
            tool=tool,
            args=parsed.model_dump(mode="json"),
            outcome="",
            created_at=datetime.now(UTC),
        )
        with self._sessions() as session:
            try:
                session.add(row)
                session.flush()
            except IntegrityError:
                session.rollback()
                return self._replay(session, row)
            plan = chosen.plan(session, who, parsed)
            chosen.apply(session, who, parsed, plan)
            row.outcome = plan.done
            record(_decision(row), session=session)
            session.commit()
        return Execution(plan.done, is_replay=False)

    def _replay(self, session: Session, wanted: ExecutionRow) -> Execution:
        made = session.get_one(ExecutionRow, (wanted.tenant, wanted.key))
        if (made.customer_id, made.tool, made.args) != (wanted.customer_id, wanted.tool, wanted.args):
            raise Conflict("was used for another action", field="key", value=wanted.key, remedy="Use a new one.")
        return Execution(made.outcome, is_replay=True)


def _decision(row: ExecutionRow) -> Decision:
    """For the audit trail: which tool, and a fingerprint of its arguments."""
    digest = hashlib.sha256(json.dumps(row.args, sort_keys=True).encode()).hexdigest()
    return Decision(
        kind="support.execute",
        subject=row.key,
        input_sha256=digest,
        outcome={"tool": row.tool},
        model_version="rules",
        policy_version=POLICY_VERSION,
    )
