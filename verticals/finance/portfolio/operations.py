"""What can be asked of the portfolio. Imports schemas only."""

from __future__ import annotations

from verticals.contract import Operation
from verticals.finance.portfolio import schemas

PORTFOLIO_OPERATIONS = (
    Operation(
        name="portfolio",
        request=schemas.PortfolioRequest,
        response=schemas.PortfolioResponse,
        summary="Decisions over time: months, the scores' shift, migration, vintages.",
        path="/portfolio",
        method="GET",
    ),
    Operation(
        name="record_outcomes",
        request=schemas.OutcomesRequest,
        response=schemas.OutcomesResponse,
        summary="How credits turned out, by the reference of their application.",
        path="/outcomes",
        examples={
            "one good, one bad": {
                "outcomes": [
                    {"application_id": "demo-1", "defaulted": False, "observed_on": "2026-11-30"},
                    {"application_id": "demo-2", "defaulted": True, "observed_on": "2026-11-30"},
                ]
            }
        },
    ),
)
