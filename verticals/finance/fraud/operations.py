"""What can be asked of card fraud: scores, history, labels, and the queue of cases. Imports schemas only."""

from __future__ import annotations

from verticals.contract import Operation
from verticals.finance.fraud import card_schemas, schemas

_PAID = {"transaction_id": "tx-1", "at": "2026-11-28T19:42:10+01:00", "customer": "c-1", "terminal": "t-1"}

CARD_OPERATIONS = (
    Operation(
        name="score_cards",
        request=card_schemas.ScoreCardsRequest,
        response=card_schemas.ScoreCardsResponse,
        summary="Score card transactions on their stored history; a case is opened above the threshold.",
        path="/cards/score",
        examples={"one payment": {"transactions": [_PAID | {"amount": "249.90"}]}},
    ),
    Operation(
        name="keep_cards",
        request=card_schemas.KeepCardsRequest,
        response=card_schemas.KeepCardsResponse,
        summary="Keep card transactions that were decided elsewhere, as the history that later ones are scored on.",
        path="/cards/history",
        examples={
            "a fraud of last month": {
                "transactions": [
                    _PAID | {"transaction_id": "tx-0", "at": "2026-10-30T08:15:00Z", "amount": "19.99", "fraud": True}
                ]
            }
        },
    ),
    Operation(
        name="label_cards",
        request=card_schemas.LabelCardsRequest,
        response=card_schemas.LabelCardsResponse,
        summary="What became known of card transactions: fraud or not.",
        path="/cards/labels",
        examples={"a chargeback": {"labels": [{"transaction_id": "tx-1", "fraud": True}]}},
    ),
    Operation(
        name="fraud_model",
        request=card_schemas.FraudModelRequest,
        response=card_schemas.FraudModelResponse,
        summary="The fraud model in force: what it was trained on, its figures, its threshold.",
        path="/cards/model",
        method="GET",
    ),
)

CASE_OPERATIONS = (
    Operation(
        name="open_case",
        request=schemas.OpenCaseRequest,
        response=schemas.Case,
        summary="Put a suspected application or transaction into the queue; one case each.",
        path="/cases",
        examples={
            "a compromised terminal": {
                "subject_kind": "transaction",
                "subject": "tx-1",
                "score": 0.94,
                "signals": [{"name": "terminal_fraud_share", "value": 0.8}],
                "source": "finance.fraud@demo",
            }
        },
    ),
    Operation(
        name="cases",
        request=schemas.CasesRequest,
        response=schemas.CasePage,
        summary="The queue of suspected fraud, strongest first.",
        path="/cases",
        method="GET",
    ),
    Operation(
        name="case",
        request=schemas.CaseRequest,
        response=schemas.Case,
        summary="One case.",
        path="/cases/{case_id}",
        method="GET",
    ),
    Operation(
        name="decide_case",
        request=schemas.DecideCaseRequest,
        response=schemas.Case,
        summary="Decide an open case, once and with a reason; the decision is audited.",
        path="/cases/{case_id}/decision",
        examples={"the customer did not pay there": {"decision": "fraud", "reason": "customer_denies"}},
    ),
)
