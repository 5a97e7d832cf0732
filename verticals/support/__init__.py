"""Customer support for a shop: answers with cited facts, opens tickets, hands over to people. Imports schemas only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from verticals.contract import Handler, Operation, Progress, Resources, Suite, Vertical
from verticals.support import schemas


def _build(resources: Resources) -> Mapping[str, Handler]:
    from verticals.support.handlers import build

    return build(resources)


def _evals(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    from verticals.support.evals import evals

    return evals(resources, handlers)


def _demo(resources: Resources, progress: Progress) -> None:
    from verticals.support.demo import demo

    demo(resources, progress)


_ASK = {"messages": [{"role": "user", "content": "How long do I have to return a lamp?"}]}
_COMPLAIN = {"messages": [{"role": "user", "content": "My parcel arrived broken and I want to speak to a person."}]}

VERTICAL = Vertical(
    name="support",
    title="Customer support",
    summary="Answers customers with cited facts, says so when it does not know, and opens tickets.",
    operations=(
        Operation(
            name="chat",
            request=schemas.ChatRequest,
            response=schemas.ChatEvent,
            summary="Answer the customer's last message as a stream of events, with cited sources.",
            path="/chat",
            for_customers=True,
            streaming=True,
            examples={"question": _ASK, "hand-over": _COMPLAIN},
        ),
        Operation(
            name="get_references",
            request=schemas.GetReferencesRequest,
            response=schemas.References,
            summary="Read back what an answer was made from: query, candidates with scores, and citations.",
            path="/answers/{answer_id}/references",
            method="GET",
        ),
        Operation(
            name="search",
            request=schemas.SearchRequest,
            response=schemas.SearchResponse,
            summary="Search the knowledge base.",
            path="/search",
            for_customers=True,
            examples={"question": {"query": "return period", "k": 5}},
        ),
        Operation(
            name="create_ticket",
            request=schemas.CreateTicketRequest,
            response=schemas.Ticket,
            summary="Write and store a ticket about a conversation.",
            path="/tickets",
            examples={"complaint": _COMPLAIN},
        ),
        Operation(
            name="list_tickets",
            request=schemas.ListTicketsRequest,
            response=schemas.TicketPage,
            summary="List tickets, newest first.",
            path="/tickets",
            method="GET",
        ),
        Operation(
            name="get_ticket",
            request=schemas.GetTicketRequest,
            response=schemas.Ticket,
            summary="Read one ticket.",
            path="/tickets/{ticket_id}",
            method="GET",
        ),
        Operation(
            name="ingest",
            request=schemas.IngestRequest,
            response=schemas.IngestResponse,
            summary="Add or replace Markdown documents in the knowledge base.",
            path="/documents",
            examples={
                "article": {
                    "documents": [
                        {"doc_id": "gift-cards", "title": "Gift cards", "text": "# Gift cards\n\nThey never expire."}
                    ]
                }
            },
        ),
        Operation(
            name="list_documents",
            request=schemas.ListDocumentsRequest,
            response=schemas.DocumentPage,
            summary="List the documents of the knowledge base.",
            path="/documents",
            method="GET",
        ),
        Operation(
            name="delete_document",
            request=schemas.DeleteDocumentRequest,
            response=schemas.DeleteDocumentResponse,
            summary="Remove a document; it is never returned again.",
            path="/documents/{doc_id}",
            method="DELETE",
        ),
    ),
    build=_build,
    evals=_evals,
    demo=_demo,
)
