"""Card transactions over the API: features from stored history, a score, a case above the threshold, an audit entry.

Computes no feature itself (`features.py`, on the slice of `slices.py`). A transaction is scored once: sent again, it is
answered as then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import pandas as pd
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from retrieval.catalog import batches
from verticals.contract import Conflict, Context, Decision, ModelRegistry, Unavailable
from verticals.finance.fraud import card_schemas as s
from verticals.finance.fraud.cases import new_case
from verticals.finance.fraud.features import all_features
from verticals.finance.fraud.files import to_transactions
from verticals.finance.fraud.model import FRAUD, FraudModel, load_fraud
from verticals.finance.fraud.schemas import OpenCaseRequest, Signal
from verticals.finance.fraud.slices import with_history
from verticals.finance.fraud.tables import FinanceCardTransaction as Card
from verticals.finance.fraud.tables import FinanceCase
from verticals.finance.simulator import is_synthetic

ATTEMPTS = 3  # when another request keeps one of the same transactions at the same moment
Rows = list[dict[str, Any]]
_CONTENT = ("at_s", "customer", "terminal", "amount_cents")
_KNOWN = "is known with another content", "Transactions are never changed: give a new one its own id."


class CardDesk:
    """Handlers over one database and one registry. The model is read at the first use and then kept."""

    def __init__(self, sessions: sessionmaker[Session], registry: ModelRegistry) -> None:
        self._sessions, self._registry = sessions, registry
        self._lock = Lock()
        self._kept: FraudModel | None = None

    def score(self, request: s.ScoreCardsRequest, context: Context) -> s.ScoreCardsResponse:
        """Score the good rows and keep them; open a case for each above the threshold. One transaction for all.

        Raises:
            Unavailable: no model is registered.
            Conflict: others kept storing the same transactions.
        """
        model = self.model()
        checked = s.check_rows(request.transactions, s.CardTransaction, now=datetime.now(UTC))
        rows = [one.row() for _, one in checked.good]

        bad, new, stored = self._store(context, rows, lambda session, new: _score(session, context, model, new))
        ids = [row["transaction_id"] for row in rows]
        with self._sessions() as session:
            cases = _cases(session, context.tenant, ids)
        return s.ScoreCardsResponse(
            items=[
                _item(stored[name], cases.get(name), known=name not in new)
                for i, name in enumerate(ids)
                if i not in bad
            ],
            errors=_errors(checked, bad),
            threshold=model.threshold,
            false_positives=model.false_positives,
            model_version=model.version,
            synthetic=model.synthetic or any(is_synthetic(row["customer"]) for row in rows),
        )

    def keep(self, request: s.KeepCardsRequest, context: Context) -> s.KeepCardsResponse:
        """Store transactions that were decided elsewhere."""
        checked = s.check_rows(request.transactions, s.PastCardTransaction, now=datetime.now(UTC))
        rows = [one.row() for _, one in checked.good]
        same = {"tenant": context.tenant, "received_at": datetime.now(UTC)}
        bad, new, _ = self._store(
            context, rows, lambda session, new: session.execute(insert(Card), [row | same for row in new])
        )
        return s.KeepCardsResponse(kept=len(new), known=len(rows) - len(new) - len(bad), errors=_errors(checked, bad))

    def label(self, request: s.LabelCardsRequest, context: Context) -> s.LabelCardsResponse:
        """Keep what became known, with an audit entry. It counts in features seven days after the transaction."""
        labels = {one.transaction_id: one.fraud for one in request.labels}
        with self._sessions.begin() as session:
            known = _find(session, context.tenant, list(labels))
            changed = {name: labels[name] for name, row in known.items() if row.fraud is not labels[name]}
            for fraud in (False, True):
                for ids in batches([name for name, to in changed.items() if to is fraud]):
                    mine = (Card.tenant == context.tenant, Card.transaction_id.in_(ids))
                    session.execute(update(Card).where(*mine).values(fraud=fraud))
            if changed:
                context.record(_labelled(changed), session=session)
        return s.LabelCardsResponse(changed=len(changed), unknown=[name for name in labels if name not in known])

    def describe(self, request: s.FraudModelRequest, context: Context) -> s.FraudModelResponse:
        """The model in force and its threshold."""
        model = self.model()
        return s.FraudModelResponse(
            model_version=model.version,
            trained_on=model.card.trained_on,
            recipe=model.card.recipe,
            limits=model.card.limits,
            metrics={name: list(found) for name, found in model.card.metrics.items()},
            threshold=model.threshold,
            false_positives=model.false_positives,
            columns=list(model.columns),
            synthetic=model.synthetic,
        )

    def model(self) -> FraudModel:
        """The registered model.

        Raises:
            Unavailable: there is none.
        """
        with self._lock:
            if self._kept is None:
                self._kept = load_fraud(self._registry)
            if self._kept is None:
                remedy = "`trivium prepare` makes the demo's; `trivium finance train-fraud DIR` one of your own."
                raise Unavailable("no fraud model is registered", field=FRAUD, remedy=remedy)
            return self._kept

    def _store(
        self, context: Context, rows: Rows, keep: Callable[[Session, Rows], object]
    ) -> tuple[set[int], set[str], dict[str, Card]]:
        """Let `keep` store what is new, in one transaction.

        Returns:
            (bad, new, stored): places of rows that are known with another content; ids that were new; all by id, as
                they are at the commit: afterwards a customer may be forgotten.
        """
        ids = [row["transaction_id"] for row in rows]
        for _ in range(ATTEMPTS):
            try:
                with self._sessions.begin() as session:
                    before = _find(session, context.tenant, ids)
                    bad = {i for i, row in enumerate(rows) if _differs(before.get(row["transaction_id"]), row)}
                    new = {row["transaction_id"]: row for row in rows if row["transaction_id"] not in before}
                    if new:
                        keep(session, list(new.values()))
                    stored = before | _find(session, context.tenant, list(new))
                return bad, set(new), stored
            except IntegrityError:  # another request was first with one of them, or with its case: look again
                continue
        raise Conflict("are being stored by other requests", field="transactions", remedy="Send them again.")


def _score(session: Session, context: Context, model: FraudModel, new: Rows) -> None:
    table, is_new = with_history(session, context.tenant, new)
    features = all_features(to_transactions(table))[is_new]
    scores = model.predict(features)
    flagged = scores > model.threshold
    inputs = features.to_csv(index=False, header=False, float_format="%.17g", lineterminator="\n").splitlines()
    ids = table["transaction_id"][is_new].tolist()
    scored = list(zip(ids, scores.tolist(), flagged.tolist(), inputs, strict=True))
    by_id = {row["transaction_id"]: row for row in new}
    same = {"tenant": context.tenant, "model_version": model.version, "received_at": datetime.now(UTC)}
    session.execute(
        insert(Card),
        [by_id[name] | same | {"score": score, "flagged": above, "fraud": None} for name, score, above, _ in scored],
    )
    suspected = {name: score for name, score, above, _ in scored if above}
    if suspected:
        customers = {name: by_id[name]["customer"] for name in suspected}
        _open(session, context.tenant, model, suspected, customers, features[flagged])
    decisions = [
        Decision(
            kind="finance.card",
            subject=name,
            input_sha256=hashlib.sha256(f"{json.dumps(by_id[name], sort_keys=True)}\n{told}".encode()).hexdigest(),
            outcome={"score": score, "flagged": above, "threshold": model.threshold},
            model_version=model.version,
        )
        for name, score, above, told in scored
    ]
    context.record(*decisions, session=session)


def _open(
    session: Session,
    tenant: str,
    model: FraudModel,
    suspected: Mapping[str, float],
    customers: Mapping[str, str],
    features: pd.DataFrame,
) -> None:
    """A case for each that has none."""
    has_one = _cases(session, tenant, list(suspected))
    for (name, score), grounds in zip(suspected.items(), model.grounds(features), strict=True):
        if name not in has_one:
            signals = [Signal(name=feature, value=value) for feature, value in grounds]
            request = OpenCaseRequest(
                subject_kind="transaction",
                subject=name,
                customer=customers[name],
                score=score,
                signals=signals,
                source=model.version,
            )
            session.add(new_case(tenant, request))
    session.flush()


def _find(session: Session, tenant: str, ids: Sequence[str]) -> dict[str, Card]:
    found: dict[str, Card] = {}
    for part in batches(list(dict.fromkeys(ids))):
        rows = session.scalars(select(Card).where(Card.tenant == tenant, Card.transaction_id.in_(part)))
        found |= {row.transaction_id: row for row in rows}
    return found


def _cases(session: Session, tenant: str, ids: Sequence[str]) -> dict[str, str]:
    """Case ids by transaction."""
    found: dict[str, str] = {}
    for part in batches(list(dict.fromkeys(ids))):
        mine = (FinanceCase.tenant == tenant, FinanceCase.subject_kind == "transaction", FinanceCase.subject.in_(part))
        rows = session.execute(select(FinanceCase.subject, FinanceCase.case_id).where(*mine)).all()
        found |= {row.subject: row.case_id for row in rows}
    return found


def _differs(stored: Card | None, row: Mapping[str, Any]) -> bool:
    return stored is not None and any(getattr(stored, name) != row[name] for name in _CONTENT)


def _item(row: Card, case_id: str | None, *, known: bool) -> s.CardScore:
    return s.CardScore(
        transaction_id=row.transaction_id,
        score=row.score,
        flagged=bool(row.flagged),
        case_id=case_id,
        known=known,
        model_version=row.model_version,
    )


def _errors(checked: s.Checked, bad: set[int]) -> list[s.RowError]:
    """What the border found and what the store knows otherwise, by place."""
    rule, remedy = _KNOWN
    other = [
        s.RowError(row=place, transaction_id=one.transaction_id, field="transaction_id", rule=rule, remedy=remedy)
        for i, (place, one) in enumerate(checked.good)
        if i in bad
    ]
    return sorted([*checked.bad, *other], key=lambda error: error.row)


def _labelled(changed: Mapping[str, bool]) -> Decision:
    told = json.dumps(dict(sorted(changed.items())), separators=(",", ":"))
    digest = hashlib.sha256(told.encode()).hexdigest()
    frauds = sum(changed.values())
    return Decision(
        kind="finance.card_labels",
        subject=f"labels-{digest[:32]}",
        input_sha256=digest,
        outcome={"fraud": frauds, "genuine": len(changed) - frauds},
        model_version="none",
    )
