"""What can be asked of sources. Imports schemas only."""

from __future__ import annotations

from verticals.contract import Operation
from verticals.finance.sources import schemas

SOURCE_OPERATIONS = (
    Operation(
        name="file_text",
        request=schemas.TextRequest,
        response=schemas.TextResponse,
        summary="Read a customer's own words into numbers for scores; the text is not kept.",
        path="/texts",
        examples={
            "an uncertain contract": {
                "customer": "c-1",
                "text": "The money is for a new boiler. My contract ends in March and I do not know yet whether it "
                "will be extended.",
            }
        },
    ),
    Operation(
        name="sources",
        request=schemas.SourcesRequest,
        response=schemas.SourcesResponse,
        summary="What history, text and document of a customer add to a score now, each with its state and bound.",
        path="/sources",
        method="GET",
    ),
)
