"""What can be asked of histories. Imports schemas only."""

from __future__ import annotations

from verticals.contract import Operation
from verticals.finance.histories import schemas

HISTORY_OPERATIONS = (
    Operation(
        name="append_events",
        request=schemas.EventsRequest,
        response=schemas.EventsResponse,
        summary="Append events to a customer's history; bad rows are reported, the rest is kept.",
        path="/events",
        examples={
            "salary and rent": {
                "customer": "c-1",
                "events": [
                    {"event_id": "e-1", "at": "2026-10-01T08:00:00Z", "kind": "salary", "amount": "2400.00"},
                    {
                        "event_id": "e-2",
                        "at": "2026-10-03T06:00:00Z",
                        "kind": "bill",
                        "category": "rent",
                        "channel": "direct_debit",
                        "amount": "680.00",
                    },
                ],
            }
        },
    ),
    Operation(
        name="events",
        request=schemas.EventPageRequest,
        response=schemas.EventPage,
        summary="A customer's events, newest first.",
        path="/events",
        method="GET",
    ),
    Operation(
        name="erase_events",
        request=schemas.EraseRequest,
        response=schemas.EraseResponse,
        summary="Erase all that is kept of a customer: events, vectors, texts, document checks; it is audited.",
        path="/events",
        method="DELETE",
    ),
    Operation(
        name="features",
        request=schemas.FeaturesRequest,
        response=schemas.FeaturesResponse,
        summary="The feature view of a customer's history as of a moment, and the state of its vector.",
        path="/features",
        method="GET",
    ),
)
