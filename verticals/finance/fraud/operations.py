"""What can be asked of the case queue. Imports schemas only."""

from __future__ import annotations

from verticals.contract import Operation
from verticals.finance.fraud import schemas

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
