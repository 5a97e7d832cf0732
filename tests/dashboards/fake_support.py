"""Made-up support handlers: three articles, word-by-word answers, tickets in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from tests.dashboards.fake_sessions import FakeSessions
from verticals.contract import Context, Handler, NotFound, Unavailable
from verticals.support import schemas as s

ARTICLES = {
    "returns": (
        "Returns",
        "Return period",
        "You have 30 days from delivery to return an item. It must be unused; a lamp must come with its bulb.",
    ),
    "refunds": (
        "Returns",
        "Refunds",
        "We refund within 5 working days after the parcel has arrived. Shipping costs up to $5 are refunded too.",
    ),
    "delivery": (
        "Delivery",
        "Late parcels",
        "If a parcel has not arrived after 7 working days, write to us with the order number.",
    ),
}
ANSWER = (
    "You have 30 days from delivery to return a lamp [1]. It must be unused and come with its bulb. "
    "The refund of at least $5 follows within 5 working days [2]."
)
UNKNOWN = "I do not find this in our articles. I can pass your question on to a colleague."


def _sources() -> list[s.Source]:
    return [
        s.Source(
            number=idx,
            passage_id=f"{doc_id}#0",
            doc_id=doc_id,
            title=title,
            heading=heading,
            text=text,
            similarity=0.83 - 0.16 * idx,
            score=1 / (60 + idx),
        )
        for idx, (doc_id, (title, heading, text)) in enumerate(ARTICLES.items(), 1)
    ]


def _ticket(number: int, request: s.CreateTicketRequest) -> s.Ticket:
    return s.Ticket(
        category=s.TicketCategory.RETURNS if number % 2 else s.TicketCategory.DELIVERY,
        priority=s.TicketPriority.URGENT if number == 1 else s.TicketPriority.NORMAL,
        subject="Lamp arrived broken" if number % 2 else "Parcel has not arrived",
        summary="The customer writes about an order and waits for an answer.",
        customer_request="A replacement or the money back.",
        ticket_id=f"T-{number:06d}",
        status=s.TicketStatus.OPEN,
        created_at=datetime(2026, 11, 20, 9, number, tzinfo=UTC),
        conversation_id=request.conversation_id,
        model_version="fake-moe-1",
    )


def handlers(*, filled: bool) -> Mapping[str, Handler]:
    """Handlers with their own memory of tickets and documents."""
    tickets: list[s.Ticket] = []
    documents = {doc_id: title for doc_id, (title, _, _) in ARTICLES.items()} if filled else {}

    def create(request: s.CreateTicketRequest, _context: Context) -> s.Ticket:
        tickets.insert(0, _ticket(len(tickets) + 1, request))
        return tickets[0]

    if filled:
        for _ in range(6):
            tickets.insert(0, _ticket(len(tickets) + 1, s.CreateTicketRequest.model_construct(conversation_id=None)))

    def chat(request: s.ChatRequest, context: Context) -> Iterator[s.ChatEvent]:
        question = request.messages[-1].content
        if "break" in question:
            raise Unavailable("the model is not loaded", field="model", remedy="Wait a minute and ask again.")
        known = "lamp" in question or "return" in question
        person = "person" in question
        yield s.ChatEvent(s.SourcesEvent(sources=[] if person else list(_sources())))
        if known:
            yield s.ChatEvent(s.CitationEvent(number=1, passage_id="returns#0", start=0, end=48))
        text = ANSWER if known else "A colleague will write to you." if person else UNKNOWN
        for word in text.split(" "):
            yield s.ChatEvent(s.DeltaEvent(text=word + " "))
        if person:
            asked = s.CreateTicketRequest(messages=request.messages)
            yield s.ChatEvent(s.TicketEvent(ticket=create(asked, context)))
        done = s.DoneEvent(finish_reason="stop", usage=s.Usage(), answered=known, conversation_id="c-1")
        yield s.ChatEvent(done)

    def page(request: s.ListTicketsRequest, _context: Context) -> s.TicketPage:
        return s.TicketPage(tickets=tickets[request.offset :][: request.limit], total=len(tickets))

    def get(request: s.GetTicketRequest, _context: Context) -> s.Ticket:
        for ticket in tickets:
            if ticket.ticket_id == request.ticket_id:
                return ticket
        raise NotFound("no such ticket", field="ticket_id")

    def ingest(request: s.IngestRequest, _context: Context) -> s.IngestResponse:
        documents.update({one.doc_id: one.title for one in request.documents})
        return s.IngestResponse(added=len(request.documents), replaced=0, unchanged=0)

    def listed(_request: s.ListDocumentsRequest, _context: Context) -> s.DocumentPage:
        found = [s.DocumentInfo(doc_id=doc_id, title=title, passages=1) for doc_id, title in sorted(documents.items())]
        return s.DocumentPage(documents=found, total=len(found))

    def delete(request: s.DeleteDocumentRequest, _context: Context) -> s.DeleteDocumentResponse:
        documents.pop(request.doc_id)
        return s.DeleteDocumentResponse(doc_id=request.doc_id)

    def upload(request: s.UploadRequest, _context: Context) -> s.UploadResponse:
        name = request.file.filename
        documents[name] = name
        return s.UploadResponse(added=1, replaced=0, unchanged=0, doc_id=name, title=name, language="en")

    def edit(request: s.EditTicketRequest, context: Context) -> s.Ticket:
        ticket = get(s.GetTicketRequest(ticket_id=request.ticket_id), context)
        for name, value in request.model_dump(exclude={"ticket_id"}, exclude_none=True).items():
            setattr(ticket, name, value)
        return ticket

    return {
        **FakeSessions(chat, filled=filled).handlers(),
        "upload": upload,
        "edit_ticket": edit,
        "chat": chat,
        "search": lambda request, _context: s.SearchResponse(hits=_sources()[: request.k] if documents else []),
        "create_ticket": create,
        "list_tickets": page,
        "get_ticket": get,
        "ingest": ingest,
        "list_documents": listed,
        "delete_document": delete,
    }
