"""The queue of suspected fraud: open, list, decide once, audited. Suspects nobody itself, and decides nothing."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import case, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from retrieval.catalog import batches
from verticals.contract import Conflict, Context, Decision, InvalidInput, NotFound
from verticals.finance.fraud import schemas
from verticals.finance.fraud.tables import FinanceCardTransaction, FinanceCase


class CaseDesk:
    """Handlers of the case operations over one database."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def open(self, request: schemas.OpenCaseRequest, context: Context) -> schemas.Case:
        """A new case, or the one that the subject has, decided or not."""
        row = new_case(context.tenant, request)
        try:
            with self._sessions.begin() as session:
                session.add(row)
        except IntegrityError:  # the subject is suspected already
            return self._of_subject(context.tenant, request)
        return _case(row)

    def list_cases(self, request: schemas.CasesRequest, context: Context) -> schemas.CasePage:
        """A page of one state."""
        mine = select(FinanceCase).where(FinanceCase.tenant == context.tenant, FinanceCase.state == request.state)
        in_order = mine.order_by(FinanceCase.score.desc(), FinanceCase.case_id.desc())  # as indexed
        with self._sessions() as session:
            total = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
            page = session.scalars(in_order.limit(request.limit).offset(request.offset)).all()
        items = [_case(row) for row in page]
        return schemas.CasePage(items=items, total=total, limit=request.limit, offset=request.offset)

    def get(self, request: schemas.CaseRequest, context: Context) -> schemas.Case:
        """One case.

        Raises:
            NotFound: the tenant has no such case.
        """
        with self._sessions() as session:
            return _case(_find(session, context.tenant, request.case_id))

    def decide(self, request: schemas.DecideCaseRequest, context: Context) -> schemas.Case:
        """Keep a person's decision, and the audit entry with it.

        Raises:
            InvalidInput: the reason does not fit the decision.
            NotFound: the tenant has no such case.
            Conflict: it is decided already.
        """
        fitting = schemas.REASONS[request.decision]
        if request.reason not in fitting:
            rule = f"must fit the decision {request.decision!r}"
            raise InvalidInput(rule, field="reason", value=request.reason, remedy=f"Give one of {', '.join(fitting)}.")
        with self._sessions.begin() as session:
            _find(session, context.tenant, request.case_id)
            change = {
                "state": request.decision,
                "reason": request.reason,
                "decided_at": datetime.now(UTC),
                "decided_by": context.actor,
            }
            still_open = (FinanceCase.tenant == context.tenant, FinanceCase.case_id == request.case_id)
            done = session.execute(
                update(FinanceCase)
                .where(*still_open, FinanceCase.state == "open")
                .values(change)
                .execution_options(synchronize_session=False)
                .returning(FinanceCase.case_id)
            ).all()
            if not done:  # of two who decide at once, one is late
                raise Conflict(
                    "is decided already; a decision is final",
                    field="case_id",
                    value=request.case_id,
                    remedy="Read the case for what was decided.",
                )
            session.expire_all()
            row = _find(session, context.tenant, request.case_id)
            if row.subject_kind == "transaction":  # a card's, if it was scored here
                known = (
                    FinanceCardTransaction.tenant == context.tenant,
                    FinanceCardTransaction.transaction_id == row.subject,
                )
                session.execute(update(FinanceCardTransaction).where(*known).values(fraud=request.decision == "fraud"))
            context.record(_audit(row), session=session)
            return _case(row)

    def _of_subject(self, tenant: str, request: schemas.OpenCaseRequest) -> schemas.Case:
        same = (FinanceCase.subject_kind == request.subject_kind, FinanceCase.subject == request.subject)
        with self._sessions() as session:
            return _case(session.scalars(select(FinanceCase).where(FinanceCase.tenant == tenant, *same)).one())


def read_signals(session: Session, tenant: str, customers: Sequence[str]) -> dict[str, schemas.FraudSignal]:
    """What is suspected, by customer; one of whom nothing is, is left out. One indexed read a batch."""
    c, found = FinanceCase, {}
    waiting = func.sum(case((c.state == "open", 1), else_=0))
    for part in batches(customers):
        mine = (c.tenant == tenant, c.customer.in_(part), c.state != "genuine")
        query = select(c.customer, waiting, func.count(), func.max(c.score)).where(*mine).group_by(c.customer)
        for customer, num_open, total, score in session.execute(query):
            found[customer] = schemas.FraudSignal(int(num_open), int(total - num_open), float(score))
    return found


def new_case(tenant: str, request: schemas.OpenCaseRequest) -> FinanceCase:
    """An open case, as a row that is not stored yet."""
    now, case_id = datetime.now(UTC), f"case-{uuid.uuid4().hex}"
    return FinanceCase(tenant=tenant, case_id=case_id, state="open", opened_at=now, **request.model_dump())


def _find(session: Session, tenant: str, case_id: str) -> FinanceCase:
    row = session.get(FinanceCase, (tenant, case_id))
    if row is None:
        raise NotFound("no such case", field="case_id", value=case_id, remedy="`cases` lists them.")
    return row


def _audit(row: FinanceCase) -> Decision:
    signals = json.dumps(row.signals, sort_keys=True, separators=(",", ":"))
    return Decision(
        kind="finance.case",
        subject=row.case_id,
        input_sha256=hashlib.sha256(signals.encode()).hexdigest(),
        outcome={"decision": row.state, "reason": row.reason, row.subject_kind: row.subject, "score": row.score},
        model_version=row.source,
    )


def _case(row: FinanceCase) -> schemas.Case:
    return schemas.Case.model_validate({name: getattr(row, name) for name in schemas.Case.model_fields})
