"""The operations of customer support, one table a theme. Ignores how they are done."""

from __future__ import annotations

from verticals.contract import Artifact, Operation
from verticals.support import schemas

_ASK = {"messages": [{"role": "user", "content": "How long do I have to return a lamp?"}]}
_COMPLAIN = {"messages": [{"role": "user", "content": "My parcel arrived broken and I want to speak to a person."}]}

_SESSION = {"session_id": "s-1"}
_HANDOFF = {"handoff_id": "H-1"}

_CHAT = (
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
        recorded=False,
        for_customers=True,
        examples={"question": {"query": "return period", "k": 5}},
    ),
)
_TICKETS = (
    Operation(
        name="create_ticket",
        request=schemas.CreateTicketRequest,
        response=schemas.Ticket,
        summary="Write and store a ticket about a conversation.",
        path="/tickets",
        for_customers=True,
        examples={"complaint": _COMPLAIN},
    ),
    Operation(
        name="list_tickets",
        request=schemas.ListTicketsRequest,
        response=schemas.TicketPage,
        summary="List tickets, newest first.",
        path="/tickets",
        for_customers=True,
        method="GET",
    ),
    Operation(
        name="get_ticket",
        request=schemas.GetTicketRequest,
        response=schemas.Ticket,
        summary="Read one ticket.",
        path="/tickets/{ticket_id}",
        for_customers=True,
        method="GET",
    ),
    Operation(
        name="edit_ticket",
        request=schemas.EditTicketRequest,
        response=schemas.Ticket,
        summary="Correct a ticket, its action or its status.",
        path="/tickets/{ticket_id}",
        method="PUT",
        examples={"close": {"ticket_id": "T-1", "status": "closed"}},
    ),
    Operation(
        name="run_ticket",
        request=schemas.RunTicketRequest,
        response=schemas.Ticket,
        summary="Approve a ticket's action and run it, once.",
        path="/tickets/{ticket_id}/run",
        examples={"run": {"ticket_id": "T-1"}},
    ),
)
_KNOWLEDGE = (
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
        name="upload",
        request=schemas.UploadRequest,
        response=schemas.UploadResponse,
        summary="Add or replace the document in a file: Markdown, HTML, PDF, DOCX, or a FAQ as CSV or JSON.",
        path="/files",
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
)
_SESSIONS = (
    Operation(
        name="create_session",
        request=schemas.CreateSessionRequest,
        response=schemas.Session,
        summary="Begin a session that is kept, for the customer of the key.",
        path="/sessions",
        for_customers=True,
        examples={"begin": {}},
    ),
    Operation(
        name="list_sessions",
        request=schemas.ListSessionsRequest,
        response=schemas.SessionPage,
        summary="List sessions, the latest first.",
        path="/sessions",
        for_customers=True,
        method="GET",
    ),
    Operation(
        name="get_session",
        request=schemas.SessionRequest,
        response=schemas.SessionHistory,
        summary="Read a session: messages, actions, hand-offs.",
        path="/sessions/{session_id}",
        for_customers=True,
        method="GET",
    ),
    Operation(
        name="send_message",
        request=schemas.SendMessageRequest,
        response=schemas.ChatEvent,
        summary="Send the customer's message; the answer is a stream of events.",
        path="/sessions/{session_id}/messages",
        for_customers=True,
        streaming=True,
        examples={"order": {**_SESSION, "content": "Where is my order MP-10002?"}},
    ),
    Operation(
        name="resume_session",
        request=schemas.SessionRequest,
        response=schemas.ChatEvent,
        summary="Answer the last message if a crash or a hang-up cut its answer off.",
        path="/sessions/{session_id}/resume",
        for_customers=True,
        streaming=True,
        examples={"again": _SESSION},
    ),
    Operation(
        name="close_session",
        request=schemas.SessionRequest,
        response=schemas.Session,
        summary="End a session; its messages stay readable.",
        path="/sessions/{session_id}/close",
        for_customers=True,
        examples={"end": _SESSION},
    ),
)
_CONSOLE = (
    Operation(
        name="list_approvals",
        request=schemas.ListApprovalsRequest,
        response=schemas.ApprovalPage,
        summary="List the actions that need a person, the oldest first.",
        path="/approvals",
        method="GET",
    ),
    Operation(
        name="decide_approval",
        request=schemas.DecideApprovalRequest,
        response=schemas.Action,
        summary="Approve, edit and approve, or reject an action; approved, it runs at once.",
        path="/approvals/{action_id}/decision",
        examples={"approve": {"action_id": "A-1", "decision": "approve"}},
    ),
    Operation(
        name="list_handoffs",
        request=schemas.ListHandoffsRequest,
        response=schemas.HandoffPage,
        summary="List the sessions that wait for a person, the most urgent first.",
        path="/handoffs",
        method="GET",
    ),
    Operation(
        name="take_over",
        request=schemas.TakeOverRequest,
        response=schemas.Handoff,
        summary="Take a session over; the bot stays silent.",
        path="/handoffs/{handoff_id}/take-over",
        examples={"take": _HANDOFF},
    ),
    Operation(
        name="reply_as_person",
        request=schemas.ReplyAsPersonRequest,
        response=schemas.SessionMessage,
        summary="Write to the customer as a person.",
        path="/handoffs/{handoff_id}/messages",
        examples={"hello": {**_HANDOFF, "content": "Hello, this is Sam. I am looking at your order."}},
    ),
    Operation(
        name="hand_back",
        request=schemas.HandBackRequest,
        response=schemas.Handoff,
        summary="Give the session back to the bot, or close it.",
        path="/handoffs/{handoff_id}/hand-back",
        examples={"back": _HANDOFF, "close": {**_HANDOFF, "close": True}},
    ),
)
_MEMORY = (
    Operation(
        name="get_memory",
        request=schemas.CustomerRequest,
        response=schemas.MemoryView,
        summary="Show all that is kept of a customer.",
        path="/memory",
        for_customers=True,
        method="GET",
    ),
    Operation(
        name="export_memory",
        request=schemas.CustomerRequest,
        response=Artifact,
        summary="The same as a JSON file.",
        path="/memory/export",
        for_customers=True,
        method="GET",
        recorded=True,
    ),
    Operation(
        name="forget_memory",
        request=schemas.ForgetMemoryRequest,
        response=schemas.ForgetMemoryResponse,
        summary="Forget one memory of a customer, or all.",
        path="/memory",
        for_customers=True,
        method="DELETE",
    ),
)
_CONSENTS = (
    Operation(
        name="list_consents",
        request=schemas.ListConsentsRequest,
        response=schemas.ConsentPage,
        summary="List what the customer of the key has agreed to, and the wordings to agree to.",
        path="/consents",
        for_customers=True,
        method="GET",
    ),
    Operation(
        name="give_consent",
        request=schemas.GiveConsentRequest,
        response=schemas.Consent,
        summary="The customer of the key agrees that tone is read from their voice or face.",
        path="/consents",
        for_customers=True,
        examples={"voice": {"modality": "voice", "wording_version": "2026-11"}},
    ),
    Operation(
        name="withdraw_consent",
        request=schemas.ConsentRequest,
        response=schemas.Consent,
        summary="The customer of the key takes a consent back.",
        path="/consents/{modality}",
        for_customers=True,
        method="DELETE",
    ),
    Operation(
        name="send_signal",
        request=schemas.SendSignalRequest,
        response=schemas.ChatEvent,
        summary="Send the customer's message with a recording of their voice or face, if they have agreed to it.",
        path="/sessions/{session_id}/signals",
        for_customers=True,
        streaming=True,
    ),
)
_QUALITY = (
    Operation(
        name="rate_answer",
        request=schemas.RateAnswerRequest,
        response=schemas.RatedAnswer,
        summary="Give an answer a thumb up or down.",
        path="/sessions/{session_id}/messages/{number}/feedback",
        for_customers=True,
        examples={"down": {**_SESSION, "number": 2, "rating": "down", "comment": "That is the old price."}},
    ),
    Operation(
        name="list_feedback",
        request=schemas.ListFeedbackRequest,
        response=schemas.FeedbackPage,
        summary="List rated answers with their questions, the latest first: what to review.",
        path="/feedback",
        method="GET",
    ),
    Operation(
        name="quality",
        request=schemas.QualityRequest,
        response=schemas.Quality,
        summary="How the desk did in the last days, with intervals.",
        path="/quality",
        method="GET",
    ),
)

OPERATIONS = (*_CHAT, *_SESSIONS, *_CONSOLE, *_TICKETS, *_KNOWLEDGE, *_MEMORY, *_CONSENTS, *_QUALITY)
