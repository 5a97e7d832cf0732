"""The operation that reads an identity document. Imports schemas only."""

from __future__ import annotations

from verticals.contract import Operation
from verticals.finance.documents.schemas import DocumentRequest, DocumentResponse

DOCUMENT_OPERATIONS = (
    Operation(
        name="documents",
        request=DocumentRequest,
        response=DocumentResponse,
        summary="Read an identity document's image and compare it with the application; the image is not kept.",
        path="/documents",
    ),
)
