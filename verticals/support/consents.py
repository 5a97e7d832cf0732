"""Consent to reading tone from voice or face: ask, keep, withdraw. Ignores what is then read.

Without the customer's own yes to today's wording nothing is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session as Database
from sqlalchemy.orm import sessionmaker

from verticals.contract import Conflict, Context, Decision, NotFound, PermissionDenied
from verticals.support import schemas as s
from verticals.support.memory.store import Owner
from verticals.support.tables import ConsentRow

WORDING_VERSION = "2026-11"
_WORDING = (
    "I agree that the shop's assistant estimates from {what} how I feel, to choose its tone and how soon a colleague "
    "looks at my request. It never changes what I am entitled to. {What} are read once and not kept. I can take this "
    "back at any time."
)
_WHAT = {s.Modality.VOICE: "recordings of my voice", s.Modality.FACE: "pictures of my face"}
WORDINGS = tuple(
    s.ConsentWording(
        modality=modality,
        version=WORDING_VERSION,
        text=_WORDING.format(what=what, What=what[:1].upper() + what[1:]),
    )
    for modality, what in _WHAT.items()
)


class ConsentDesk:
    """Consents of one database; a customer's key gives, sees and withdraws that customer's."""

    name = "consents"

    def __init__(self, sessions: sessionmaker[Database]) -> None:
        self._sessions = sessions

    def list_consents(self, request: s.ListConsentsRequest, context: Context) -> s.ConsentPage:
        """All that the customer ever gave, and what they may agree to."""
        return s.ConsentPage(consents=self.of(customer_of(context)), wordings=list(WORDINGS))

    def give_consent(self, request: s.GiveConsentRequest, context: Context) -> s.Consent:
        """Keep a yes; while one holds, the same again changes nothing.

        Raises:
            PermissionDenied: the key is no customer's.
            Conflict: the wording that was agreed to is not today's.
        """
        owner = customer_of(context)
        if request.wording_version != WORDING_VERSION:
            raise Conflict(
                f"must be {WORDING_VERSION}", field="wording_version", remedy="Show the customer today's wording."
            )
        with self._sessions.begin() as db:
            row = next(iter(_held(db, owner, request.modality)), None)
            if row is None or row.wording_version != WORDING_VERSION:
                now = datetime.now(UTC)
                if row is not None:
                    row.withdrawn_at = now
                row = ConsentRow(
                    modality=request.modality.value,
                    wording_version=WORDING_VERSION,
                    given_at=now,
                    withdrawn_at=None,
                    **vars(owner),
                )
                db.add(row)
                context.record(_decision("give", row), session=db)
            return _to_consent(row)

    def withdraw_consent(self, request: s.ConsentRequest, context: Context) -> s.Consent:
        """From now on it does not hold.

        Raises:
            PermissionDenied: the key is no customer's.
            NotFound: none holds.
        """
        with self._sessions.begin() as db:
            held = _held(db, customer_of(context), request.modality)
            if not held:
                raise NotFound(
                    "no consent holds",
                    field="modality",
                    value=str(request.modality),
                    remedy="Nothing needs to be withdrawn; the list of consents shows which hold.",
                )
            row, now = held[0], datetime.now(UTC)
            for one in held:  # a yes that was given twice at once is taken back twice
                one.withdrawn_at = now
            context.record(_decision("withdraw", row), session=db)
            return _to_consent(row)

    def of(self, owner: Owner) -> list[s.Consent]:
        """All of one customer's, the oldest first."""
        mine = (ConsentRow.tenant == owner.tenant, ConsentRow.customer == owner.customer)
        with self._sessions() as db:
            return [
                _to_consent(row) for row in db.scalars(select(ConsentRow).where(*mine).order_by(ConsentRow.given_at))
            ]

    def export(self, tenant: str, customer: str) -> list[dict[str, Any]]:
        """As `of`; see `verticals.contract.CustomerRecords`."""
        return [consent.model_dump(mode="json") for consent in self.of(Owner(tenant, customer))]

    def erase(self, tenant: str, customer: str) -> int:
        """Remove them all: nothing may be read any more; how many there were."""
        mine = (ConsentRow.tenant == tenant, ConsentRow.customer == customer)
        with self._sessions.begin() as db:
            return db.execute(delete(ConsentRow).where(*mine)).rowcount  # type: ignore[attr-defined, no-any-return]


def customer_of(context: Context) -> Owner:
    """Whose consent is meant: the key's customer's, nobody else's.

    Raises:
        PermissionDenied: the key is no customer's.
    """
    if context.customer is None:
        raise PermissionDenied("consent is the customer's own", field="key", remedy="Use the customer's key.")
    return Owner(context.tenant, context.customer)


def _held(db: Database, owner: Owner, modality: s.Modality) -> Sequence[ConsentRow]:
    mine = (ConsentRow.tenant == owner.tenant, ConsentRow.customer == owner.customer)
    open_still = (ConsentRow.modality == modality.value, ConsentRow.withdrawn_at.is_(None))
    return db.scalars(select(ConsentRow).where(*mine, *open_still).with_for_update()).all()


def _to_consent(row: ConsentRow) -> s.Consent:
    return s.Consent.model_validate({name: getattr(row, name) for name in s.Consent.model_fields})


def _decision(step: str, row: ConsentRow) -> Decision:
    """The trail does not say whose it was, as for forgetting."""
    subject = hashlib.sha256(f"{row.tenant}\0{row.customer}".encode()).hexdigest()
    return Decision(
        kind="support.consent",
        subject=subject[:32],
        input_sha256=subject,
        outcome={"step": step, "modality": row.modality, "wording_version": row.wording_version},
        model_version="none",
    )
