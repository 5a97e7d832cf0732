"""The operations of manual decisions: decide otherwise, confirm, read the record. Scores nothing.

A decision belongs to the application's newest scoring. Where the policy in force asks for four eyes on its direction,
it is proposed, and holds once another key has confirmed it. Nothing is changed or deleted: a later decision replaces.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Conflict, Context, Decision, InvalidInput, NotFound, PermissionDenied
from verticals.finance import schemas as finance
from verticals.finance.manual import schemas
from verticals.finance.manual.reasons import REASONS, Code, direction_of
from verticals.finance.manual.tables import FinanceOverride
from verticals.finance.tables import FinanceDecision
from verticals.undisturbed import hold


class OverrideDesk:
    """`policy_of`: the policy in force for a tenant."""

    def __init__(self, sessions: sessionmaker[Session], policy_of: Callable[[str], finance.Policy]) -> None:
        self._sessions, self._policy_of = sessions, policy_of

    def override(self, request: schemas.OverrideRequest, context: Context) -> schemas.ManualOverride:
        """Record another decision with its reason, in one transaction with its audit entry.

        Raises:
            NotFound: the application was never scored here.
            InvalidInput: the reason does not fit the decision.
            Conflict: it holds already, or another one waits for a second person.
        """
        if request.decision not in REASONS[request.reason].decisions:
            fitting = [code for code, one in REASONS.items() if request.decision in one.decisions]
            rule = f"must fit the decision {request.decision!r}"
            raise InvalidInput(rule, field="reason", value=request.reason, remedy=f"Give one of {', '.join(fitting)}.")
        with self._sessions.begin() as session:
            scoring = _newest(session, context.tenant, request.application_id)
            hold(session, FinanceDecision, FinanceDecision.id == scoring.id)
            made = _overrides(session, context.tenant, [scoring.id])
            _refuse_the_same(scoring, made, request)
            direction = direction_of(cast(finance.Decision, scoring.decision), request.decision)
            asks = direction in self._policy_of(context.tenant).four_eyes
            row = FinanceOverride(
                tenant=context.tenant,
                override_id=f"override-{uuid.uuid4().hex}",
                scoring_id=scoring.id,
                automatic=scoring.decision,
                direction=direction,
                state="proposed" if asks else "in_force",
                decided_by=context.actor,
                decided_at=datetime.now(UTC),
                **request.model_dump(),
            )
            session.add(row)
            session.flush()
            context.record(_audit(row, scoring, text=row.text), session=session)
            return _override(row)

    def confirm(self, request: schemas.ConfirmRequest, context: Context) -> schemas.ManualOverride:
        """A second person's word; final.

        Raises:
            NotFound: the tenant has no such manual decision.
            PermissionDenied: whoever proposed it may not confirm it.
            Conflict: it does not wait, or the application was scored again since.
        """
        key = (FinanceOverride.tenant == context.tenant, FinanceOverride.override_id == request.override_id)
        with self._sessions.begin() as session:
            row = session.scalar(select(FinanceOverride).where(*key))
            if row is None:
                raise NotFound("no such manual decision", field="override_id", value=request.override_id)
            if row.decided_by == context.actor:
                raise PermissionDenied(
                    "must be confirmed by another key than the one that decided",
                    field="override_id",
                    value=request.override_id,
                    remedy="Ask a colleague.",
                )
            scoring = _newest(session, context.tenant, row.application_id)
            if request.agree and scoring.id != row.scoring_id:
                raise Conflict(
                    "the application was scored again since",
                    field="override_id",
                    value=request.override_id,
                    remedy="Reject it, and decide on the newest score.",
                )
            change = {
                "state": "in_force" if request.agree else "rejected",
                "second_by": context.actor,
                "second_text": request.text,
                "second_at": datetime.now(UTC),
            }
            waits = update(FinanceOverride).where(*key, FinanceOverride.state == "proposed").values(change)
            done = session.execute(
                waits.execution_options(synchronize_session=False).returning(FinanceOverride.override_id)
            ).all()
            if not done:  # of two who confirm at once, one is late
                raise Conflict("does not wait for a second person", field="override_id", value=request.override_id)
            session.refresh(row)
            context.record(_audit(row, scoring, text=request.text), session=session)
            return _override(row)

    def record(self, request: schemas.RecordRequest, context: Context) -> schemas.ApplicationRecord:
        """All scorings of an application with what people decided on them, and what holds.

        Raises:
            NotFound: it was never scored here.
        """
        mine = (FinanceDecision.tenant == context.tenant, FinanceDecision.application_id == request.application_id)
        with self._sessions() as session:
            rows = session.scalars(select(FinanceDecision).where(*mine).order_by(FinanceDecision.id.desc())).all()
            if not rows:
                raise _unknown(request.application_id)
            made = _overrides(session, context.tenant, [row.id for row in rows])
        scorings = [_scored(row, [one for one in made if one.scoring_id == row.id]) for row in rows]
        held = _newest_of([one for one in made if one.scoring_id == rows[0].id], "in_force")
        return schemas.ApplicationRecord(
            application_id=request.application_id,
            scorings=scorings,
            decision=held.decision if held else rows[0].decision,
            decided_by=held.decided_by if held else None,
        )

    def proposed(self, request: schemas.ProposedRequest, context: Context) -> schemas.ProposedPage:
        """What waits for a second person."""
        mine = select(FinanceOverride).where(
            FinanceOverride.tenant == context.tenant, FinanceOverride.state == "proposed"
        )
        in_order = mine.order_by(FinanceOverride.decided_at, FinanceOverride.override_id)
        with self._sessions() as session:
            total = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
            rows = session.scalars(in_order.limit(request.limit).offset(request.offset)).all()
        items = [_override(row) for row in rows]
        return schemas.ProposedPage(items=items, total=total, limit=request.limit, offset=request.offset)


def held_overrides(session: Session, tenant: str, scoring_ids: Sequence[int]) -> dict[int, FinanceOverride]:
    """The newest manual decision of each scoring that is in force or waits."""
    made = _overrides(session, tenant, scoring_ids)
    return {row.scoring_id: row for row in made if row.state != "rejected"}


def _overrides(session: Session, tenant: str, scoring_ids: Sequence[int]) -> list[FinanceOverride]:
    """Oldest first."""
    mine = (FinanceOverride.tenant == tenant, FinanceOverride.scoring_id.in_(scoring_ids))
    in_order = (FinanceOverride.decided_at, FinanceOverride.override_id)
    return list(session.scalars(select(FinanceOverride).where(*mine).order_by(*in_order)))


def _newest(session: Session, tenant: str, application_id: str) -> FinanceDecision:
    """The application's newest scoring."""
    mine = (FinanceDecision.tenant == tenant, FinanceDecision.application_id == application_id)
    row = session.scalar(select(FinanceDecision).where(*mine).order_by(FinanceDecision.id.desc()).limit(1))
    if row is None:
        raise _unknown(application_id)
    return row


def _unknown(application_id: str) -> NotFound:
    return NotFound(
        "was never scored here",
        field="application_id",
        value=application_id,
        remedy="`decisions` lists those that were.",
    )


def _newest_of(made: Sequence[FinanceOverride], *states: schemas.ManualState) -> FinanceOverride | None:
    """The last one in such a state."""
    return next((one for one in reversed(made) if one.state in states), None)


def _refuse_the_same(
    scoring: FinanceDecision, made: Sequence[FinanceOverride], request: schemas.OverrideRequest
) -> None:
    if _newest_of(made, "proposed"):
        raise Conflict(
            "another decision waits for a second person",
            field="application_id",
            value=request.application_id,
            remedy="Have it confirmed or rejected first.",
        )
    held = _newest_of(made, "in_force")
    if (held.decision if held else scoring.decision) == request.decision:
        raise Conflict("is decided so already", field="decision", value=request.decision)


def _audit(row: FinanceOverride, scoring: FinanceDecision, *, text: str) -> Decision:
    """Both decisions, the reason's code, and a fingerprint of the text, which may hold more than it should."""
    return Decision(
        kind="finance.override",
        subject=row.application_id,
        input_sha256=hashlib.sha256(text.encode()).hexdigest(),
        outcome={
            "override_id": row.override_id,
            "automatic": row.automatic,
            "decision": row.decision,
            "direction": row.direction,
            "reason": row.reason,
            "state": row.state,
            "decided_by": row.decided_by,
        },
        model_version=scoring.model_version,
        policy_version=scoring.policy_version,
    )


def _override(row: FinanceOverride) -> schemas.ManualOverride:
    reason = REASONS[cast(Code, row.reason)]
    told = {"reason_text": reason.text, "reason_text_zh": reason.text_zh}
    fields = schemas.ManualOverride.model_fields
    return schemas.ManualOverride.model_validate(
        {name: getattr(row, name) for name in fields if name not in told} | told
    )


def _scored(row: FinanceDecision, made: Sequence[FinanceOverride]) -> schemas.ScoredItem:
    item = decision_item(row, _newest_of(made, "in_force", "proposed"))
    return schemas.ScoredItem(**item.model_dump(), overrides=[_override(one) for one in made])


def decision_item(row: FinanceDecision, manual: FinanceOverride | None) -> finance.DecisionItem:
    """A stored scoring as an item of a list."""
    at = row.created_at.replace(tzinfo=row.created_at.tzinfo or UTC)
    fields = finance.DecisionItem.model_fields
    same = {name: getattr(row, name) for name in fields if name not in ("created_at", "manual")}
    told = None
    if manual is not None:
        told = {"decision": manual.decision, "state": manual.state, "reason": manual.reason}
    return finance.DecisionItem.model_validate({**same, "created_at": at, "manual": told})
