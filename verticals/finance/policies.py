"""Versions of the policy per tenant: store, bring into force, roll back; each step is audited. Decides no application.

The built-in policy is in force until a tenant activates another. What is stored never changes: another policy is
another version.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Conflict, Context, Decision, InvalidInput, NotFound, Unavailable
from verticals.finance import policy, schemas
from verticals.finance.overrides import Override
from verticals.finance.policy_schemas import (
    ActivateRequest,
    Activation,
    PoliciesRequest,
    PolicyDraft,
    PolicyPage,
    PolicyRequest,
    RollBackRequest,
    StoredPolicy,
)
from verticals.finance.policy_tables import FinancePolicy, FinancePolicyActivation
from verticals.finance.scaling import Scaling

FRESH_S = 1.0  # for so long a process may decide by what another process has just replaced
SHOWN_ACTIVATIONS = 50


class PolicyBook:
    """The policies of one database. `scaling` gives the points on which cut-offs stand."""

    def __init__(self, sessions: sessionmaker[Session], scaling: Callable[[], Scaling]) -> None:
        self._sessions = sessions
        self._scaling = scaling
        self._lock = Lock()
        self._active: dict[str, tuple[float, schemas.Policy]] = {}
        self._changes = 0  # steps of this process; what was read before one is not kept after it

    def active(self, tenant: str) -> schemas.Policy:
        """The policy in force, at most `FRESH_S` old when another process changed it."""
        now = time.monotonic()
        with self._lock:
            kept, changes = self._active.get(tenant), self._changes
        if kept is not None and now - kept[0] < FRESH_S:
            return kept[1]
        with self._sessions() as db:
            found, _ = self._find(db, tenant, _in_force(db, tenant))
        with self._lock:
            if changes == self._changes:
                self._active[tenant] = (now, found)
        return found

    def get(self, tenant: str, version: str) -> schemas.Policy:
        """One version.

        Raises:
            NotFound: the tenant has none of this name.
        """
        with self._sessions() as db:
            return self._find(db, tenant, version)[0]

    def list_policies(self, request: PoliciesRequest, context: Context) -> PolicyPage:
        """The tenant's versions and activations."""
        mine = select(FinancePolicy).where(FinancePolicy.tenant == context.tenant)
        steps = select(FinancePolicyActivation).where(FinancePolicyActivation.tenant == context.tenant)
        with self._sessions() as db:
            active = _in_force(db, context.tenant)
            total = 1 + (db.scalar(select(func.count()).select_from(mine.subquery())) or 0)
            page = mine.order_by(FinancePolicy.created_at.desc(), FinancePolicy.version.desc())
            rows = db.scalars(page.limit(request.limit).offset(request.offset)).all()
            found = [_stored(row, active=row.version == active) for row in rows]
            last = db.scalars(steps.order_by(FinancePolicyActivation.number.desc()).limit(SHOWN_ACTIVATIONS)).all()
            if len(found) < request.limit and request.offset < total:
                found.append(self._built_in(active, policy.POLICY.version))
            return PolicyPage(
                active=active, policies=found, total=total, activations=[_activation(row) for row in last]
            )

    def get_policy(self, request: PolicyRequest, context: Context) -> StoredPolicy:
        """One version, as kept.

        Raises:
            NotFound: the tenant has none of this name.
        """
        with self._sessions() as db:
            active = _in_force(db, context.tenant)
            if request.version in policy.BUILT_IN:
                return self._built_in(active, request.version)
            return _stored(_row(db, context.tenant, request.version), active=request.version == active)

    def store_policy(self, request: PolicyDraft, context: Context) -> StoredPolicy:
        """Keep a new version; it is not in force until it is activated.

        Raises:
            InvalidInput: cut-offs or overrides that make no sense.
            Conflict: the version exists.
        """
        content = self._resolve(request).model_dump(mode="json")
        row = FinancePolicy(
            tenant=context.tenant,
            version=request.version,
            content=content,
            sha256=_sha256(content),
            created_by=context.actor,
            created_at=datetime.now(UTC),
        )
        taken = Conflict(
            "exists already and never changes", field="version", value=request.version, remedy="Name another."
        )
        if request.version in policy.BUILT_IN:
            raise taken
        try:
            with self._sessions.begin() as db:
                db.add(row)
                db.flush()
                context.record(_decision(row.version, row.sha256, {"step": "store"}), session=db)
                return _stored(row, active=False)
        except IntegrityError:
            raise taken from None

    def activate_policy(self, request: ActivateRequest, context: Context) -> StoredPolicy:
        """Bring a version into force, at once.

        Raises:
            NotFound: no such version.
            Conflict: it is in force already, or not effective yet.
        """
        wanted = self.get(context.tenant, request.version)
        if wanted.effective_from > datetime.now(UTC).date():
            raise Conflict(
                f"is effective from {wanted.effective_from}",
                field="version",
                value=request.version,
                remedy="Activate it on that day, or store a version with an earlier one.",
            )

        def choose(stack: list[str]) -> str:
            if request.version == stack[-1]:
                raise Conflict("is in force already", field="version", value=request.version)
            return request.version

        return self._step(context, "activate", choose, reason=request.reason)

    def roll_back_policy(self, request: RollBackRequest, context: Context) -> StoredPolicy:
        """Go back to what was in force before; again goes back further.

        Raises:
            Conflict: nothing was in force before.
        """

        def choose(stack: list[str]) -> str:
            if len(stack) < 2:
                raise Conflict(
                    "no other policy was in force before",
                    field="version",
                    value=stack[-1],
                    remedy="Activate a stored version instead.",
                )
            return stack[-2]

        return self._step(context, "roll back", choose, reason=request.reason)

    def _step(self, context: Context, step: str, choose: Callable[[list[str]], str], *, reason: str) -> StoredPolicy:
        """One row more, made from what one read saw: whoever was faster has taken its number."""
        try:
            with self._sessions.begin() as db:
                stack, last = _history(db, context.tenant)
                version = choose(stack)
                row = FinancePolicyActivation(
                    tenant=context.tenant,
                    number=last + 1,
                    step=step,
                    version=version,
                    previous=stack[-1],
                    reason=reason,
                    actor=context.actor,
                    created_at=datetime.now(UTC),
                )
                db.add(row)
                db.flush()
                _, sha256 = self._find(db, context.tenant, version)
                outcome = {"step": step, "previous": stack[-1], "reason": reason}
                context.record(_decision(version, sha256, outcome), session=db)
        except IntegrityError:
            raise Conflict(
                "another change of the policy came first", field="version", remedy="Look at it, then decide again."
            ) from None
        with self._lock:
            self._changes += 1
            self._active.pop(context.tenant, None)
        return self.get_policy(PolicyRequest(version=version), context)

    def _find(self, db: Session, tenant: str, version: str) -> tuple[schemas.Policy, str]:
        """A version and its SHA-256."""
        found = (
            self._built_in("", version)
            if version in policy.BUILT_IN
            else _stored(_row(db, tenant, version), active=False)
        )
        return found.policy, found.sha256

    def _built_in(self, active: str, version: str) -> StoredPolicy:
        held = policy.describe(policy.BUILT_IN[version], self._scaling())
        return StoredPolicy(
            policy=held,
            active=held.version == active,
            built_in=True,
            sha256=_sha256(held.model_dump(mode="json")),
            created_by="trivium",
            created_at=None,
        )

    def _resolve(self, draft: PolicyDraft) -> schemas.Policy:
        """The draft with its cut-offs in points."""
        for override in draft.overrides:
            _check_override(override)
        codes = [o.code for o in draft.overrides]
        if len(set(codes)) < len(codes):
            raise InvalidInput("each code once", field="overrides", remedy="Give each override a code of its own.")
        if (draft.approve_at is None) != (draft.decline_below is None):
            raise InvalidInput("both cut-offs or neither", field="approve_at", remedy="Give decline_below too.")
        return policy.resolve(draft, self._scaling())


def _check_override(override: Override) -> None:
    """A field that is scored, an operator that fits it, values that it can have."""
    if override.field not in schemas.FEATURE_LABELS:
        raise InvalidInput(
            f"must be a scored field: {', '.join(schemas.FEATURE_LABELS)}",
            field=f"overrides.{override.code}.field",
            value=override.field,
        )
    categories = schemas.LABELS.get(override.field)
    if (override.operator in ("in", "not_in")) != (categories is not None):
        fitting = "in or not_in" if categories else "at_least or at_most"
        raise InvalidInput(f"must be {fitting} for this field", field=f"overrides.{override.code}.operator")
    if categories is None:
        if len(override.values) > 1 or isinstance(override.values[0], str):
            raise InvalidInput("must be one number", field=f"overrides.{override.code}.values")
    elif unknown := [v for v in override.values if v not in categories]:
        raise InvalidInput(
            f"must be among {', '.join(categories)}", field=f"overrides.{override.code}.values", value=unknown[0]
        )


def _history(db: Session, tenant: str) -> tuple[list[str], int]:
    """(versions in the order in which they came into force, without what was rolled back, number of the last step).

    The last of the versions is in force.
    """
    row = FinancePolicyActivation
    steps = select(row.number, row.step, row.version).where(row.tenant == tenant).order_by(row.number)
    stack, last = [policy.POLICY.version], 0
    for number, step, version in db.execute(steps):
        last = number
        if step == "activate":
            stack.append(version)
        else:
            stack.pop()
    return stack, last


def _in_force(db: Session, tenant: str) -> str:
    return _history(db, tenant)[0][-1]


def _row(db: Session, tenant: str, version: str) -> FinancePolicy:
    row = db.get(FinancePolicy, (tenant, version))
    if row is None:
        raise NotFound(
            "no such policy", field="version", value=version, remedy="GET /v1/finance/policies lists the versions."
        )
    return row


def _stored(row: FinancePolicy, *, active: bool) -> StoredPolicy:
    if _sha256(row.content) != row.sha256:
        raise Unavailable(
            "the stored policy differs from its SHA-256: it was changed in the database",
            field="version",
            value=row.version,
            remedy="Roll back, then store the policy again as another version.",
        )
    return StoredPolicy(
        policy=schemas.Policy.model_validate(row.content),
        active=active,
        built_in=False,
        sha256=row.sha256,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _activation(row: FinancePolicyActivation) -> Activation:
    return Activation.model_validate({name: getattr(row, name) for name in Activation.model_fields})


def _decision(version: str, sha256: str, outcome: dict[str, str]) -> Decision:
    return Decision(
        kind="finance.policy",
        subject=version,
        input_sha256=sha256,
        outcome=outcome,
        model_version="none",
        policy_version=version,
    )


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
