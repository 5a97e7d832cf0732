"""What can be asked of manual decisions. Imports schemas only."""

from __future__ import annotations

from verticals.contract import Operation
from verticals.finance.manual import schemas

OVERRIDE_OPERATIONS = (
    Operation(
        name="application_record",
        request=schemas.RecordRequest,
        response=schemas.ApplicationRecord,
        summary="Everything decided on an application, by the policy and by people, and what holds.",
        path="/decisions/{application_id}",
        method="GET",
    ),
    Operation(
        name="override_decision",
        request=schemas.OverrideRequest,
        response=schemas.ManualOverride,
        summary="Decide otherwise than the policy did, with a reason; a second person confirms where the policy asks.",
        path="/decisions/{application_id}/override",
        examples={
            "income verified": {
                "decision": "approve",
                "reason": "M01",
                "text": "Three salary slips seen; the income covers the instalment twice",
            }
        },
    ),
    Operation(
        name="proposed_overrides",
        request=schemas.ProposedRequest,
        response=schemas.ProposedPage,
        summary="Manual decisions that wait for a second person, oldest first.",
        path="/overrides",
        method="GET",
    ),
    Operation(
        name="confirm_override",
        request=schemas.ConfirmRequest,
        response=schemas.ManualOverride,
        summary="A second person confirms or rejects a proposed decision; final.",
        path="/overrides/{override_id}/confirmation",
        examples={"agreed": {"agree": True, "text": "Seen the same documents"}},
    ),
)
