"""Made-up histories, documents and fraud cases for the finance page. Their figures mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from verticals.contract import Context, Handler, NotFound
from verticals.finance.documents import schemas as d
from verticals.finance.fraud import card_schemas as k
from verticals.finance.fraud import schemas as c
from verticals.finance.histories import schemas as h
from verticals.finance.histories.vocabulary import Kind

START = datetime(2026, 10, 1, 12, tzinfo=UTC)


def _events(request: h.EventPageRequest, _context: Context) -> h.EventPage:
    """Ten purchases and a statement of customer `sim-1`; nobody else has any."""
    items = [
        h.EventItem(
            event_id=f"e-{i}",
            at=START + timedelta(days=3 * i),
            kind=Kind.STATEMENT if i == 5 else Kind.PURCHASE,
            category=None,
            channel=None,
            amount=None if i == 5 else 10.0 + i,
            balance=250.0 if i == 5 else None,
            credit_limit=None,
        )
        for i in reversed(range(11))
    ]
    found = items if request.customer == "sim-1" else []
    return h.EventPage(items=found, total=len(found), limit=request.limit, offset=0, synthetic=True)


def _features(request: h.FeaturesRequest, _context: Context) -> h.FeaturesResponse:
    state = h.SequenceState(model_version="made-up", as_of=START, num_events=11, log_odds=0.12, bound=1.5)
    features = [
        h.FeatureValue(name="recency", label="Days since the last event", value=3.0),
        h.FeatureValue(name="utilisation", label="Utilisation", value=None),
    ]
    return h.FeaturesResponse(customer=request.customer, as_of=START, features=features, sequence=state, synthetic=True)


def _document(request: d.DocumentRequest, _context: Context) -> d.DocumentResponse:
    """A passport whose name is another than the stated one, if one is stated."""
    finding = d.DocumentFinding(code="D01", severity="alert", field="name", text="Another name", text_zh="姓名不符")
    surname = d.DocumentField(name="surname", value="MUSTER", confidence=0.9, source="both")
    return d.DocumentResponse(
        evidence="e-1" if request.customer else None,
        application_id="made-1",
        kind="passport",
        fields=[surname],
        zone=d.MachineZone(size="TD3", checks={"birth_date": True}, repaired=[], problems=[]),
        features=[d.DocumentFeature(name="name_agrees", value=0.0, meaning="The name agrees")],
        findings=[finding] if request.name else [],
        input_sha256="0" * 64,
        reader_version="made-up",
    )


def _score_cards(request: k.ScoreCardsRequest, _context: Context) -> k.ScoreCardsResponse:
    """Amounts above 100 are suspect; the checks of the border are real."""
    checked = k.check_rows(request.transactions, k.CardTransaction, now=datetime.now(UTC))
    items = [
        k.CardScore(
            transaction_id=one.transaction_id,
            score=float(min(one.amount / 1000, 1)),
            flagged=one.amount > 100,
            case_id="case-0" if one.amount > 100 else None,
            known=False,
            model_version="made-up",
        )
        for _, one in checked.good
    ]
    facts = {"threshold": 0.1, "false_positives": 0.01, "model_version": "made-up", "synthetic": True}
    return k.ScoreCardsResponse(items=items, errors=list(checked.bad), **facts)


def _fraud_model(_request: k.FraudModelRequest, _context: Context) -> k.FraudModelResponse:
    told = dict.fromkeys(("model_version", "trained_on", "recipe", "limits"), "made up")
    return k.FraudModelResponse(**told, metrics={}, threshold=0.1, false_positives=0.01, columns=[], synthetic=True)


def handlers(*, filled: bool) -> Mapping[str, Handler]:
    """Handlers with their own queue."""
    queue = [
        c.Case(
            case_id=f"case-{i}",
            subject_kind="transaction",
            subject=f"tx-{i}",
            score=0.9 - i / 10,
            signals=[c.Signal(name="terminal_fraud_share", value=0.8)],
            source="made-up",
            state="open",
            opened_at=START,
            customer=f"sim-{i}",
            decided_at=None,
            decided_by=None,
            reason=None,
        )
        for i in range(3 if filled else 0)
    ]

    def cases(request: c.CasesRequest, _context: Context) -> c.CasePage:
        found = [one for one in queue if one.state == request.state]
        return c.CasePage(items=found, total=len(found), limit=request.limit, offset=request.offset)

    def decide(request: c.DecideCaseRequest, context: Context) -> c.Case:
        for i, one in enumerate(queue):
            if one.case_id == request.case_id:
                update = {"state": request.decision, "reason": request.reason, "decided_at": START}
                queue[i] = one.model_copy(update={**update, "decided_by": context.actor})
                return queue[i]
        raise NotFound("no such case", field="case_id", value=request.case_id)

    return {
        "documents": _document,
        "events": _events,
        "features": _features,
        "cases": cases,
        "decide_case": decide,
        "score_cards": _score_cards,
        "fraud_model": _fraud_model,
    }
