"""What the owner of the policy can ask for. Imports schemas only."""

from __future__ import annotations

from verticals.contract import Operation
from verticals.finance import policy_schemas as s

_DRAFT = {
    "version": "2026-12-01",
    "effective_from": "2026-11-30",
    "cost_bad_approved": 5.0,
    "cost_good_declined": 1.0,
    "cost_review": 0.4,
    "overrides": [
        {
            "code": "K01",
            "field": "purpose",
            "operator": "in",
            "values": ["business"],
            "decision": "refer",
            "reason": "Credit for a business is decided by a person",
        }
    ],
    "source": "Credit committee of 2026-11-28: a review costs less since October",
}

POLICY_OPERATIONS = (
    Operation(
        name="simulate",
        request=s.SimulateRequest,
        response=s.SimulateResponse,
        summary="A proposed policy against the active one: approvals, losses, profit, swap set, each with an interval.",
        path="/simulate",
        recorded=False,
        examples={"approve from 540 points": {"approve_at": 540, "decline_below": 480}},
    ),
    Operation(
        name="policies",
        request=s.PoliciesRequest,
        response=s.PolicyPage,
        summary="Versions of the policy, and when which came into force.",
        path="/policies",
        method="GET",
    ),
    Operation(
        name="store_policy",
        request=s.PolicyDraft,
        response=s.StoredPolicy,
        summary="Store a new version; it decides nothing until it is activated.",
        path="/policies",
        examples={"cheaper reviews": _DRAFT},
    ),
    Operation(
        name="roll_back_policy",
        request=s.RollBackRequest,
        response=s.StoredPolicy,
        summary="Go back to the version that was in force before.",
        path="/policies/rollback",
        examples={"a mistake": {"reason": "The new cut-offs refer twice as many as people can decide"}},
    ),
    Operation(
        name="policy",
        request=s.PolicyRequest,
        response=s.StoredPolicy,
        summary="One version of the policy.",
        path="/policies/{version}",
        method="GET",
    ),
    Operation(
        name="activate_policy",
        request=s.ActivateRequest,
        response=s.StoredPolicy,
        summary="Bring a stored version into force.",
        path="/policies/{version}/activate",
        examples={"as decided": {"reason": "Decided by the credit committee on 2026-11-28"}},
    ),
)
