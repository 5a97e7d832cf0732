"""How the suites ask the agent: its operations, in this process or of a live API. Ignores what they make of answers.

In this process the demo shop's articles are put under a tenant of the suites' own; of a live API, the tenant of the key
must hold them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retrieval.ingest import read_folder
from verticals.asking import evaluator, is_live
from verticals.contract import Handler, Progress, Resources, Unavailable
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.schemas import (
    ChatEvent,
    ChatRequest,
    CreateTicketRequest,
    DeltaEvent,
    DocumentPage,
    DoneEvent,
    ListDocumentsRequest,
    Message,
    SearchRequest,
    SearchResponse,
    Source,
    SourcesEvent,
    Ticket,
)

TENANT = "evals.support"
_PAGE = 500


@dataclass(frozen=True)
class Answer:
    """What the agent said to a question: text with citations, the sources it showed, and whether it claims to know."""

    text: str
    sources: Mapping[int, Source]
    answered: bool
    tokens: int


class Desk:
    """The agent's operations, as suites ask them."""

    def __init__(self, resources: Resources, handlers: Mapping[str, Handler]) -> None:
        self._resources, self._handlers = resources, handlers
        self._context = evaluator(TENANT)
        self._answers: dict[str, Answer] = {}  # asked once, scored by several suites

    def prepare(self, progress: Progress) -> None:
        """See to it that the demo shop's articles are where the suites search.

        Raises:
            Unavailable: an article cannot be read, or the live tenant does not hold them all.
        """
        documents, problems = read_folder(KNOWLEDGE_DIR)
        if problems or not documents:
            raise Unavailable("the articles are damaged", field="knowledge", remedy="Install the package again.")
        if not is_live(self._resources):
            self._resources.retriever.ingest(documents, tenant=TENANT, on_progress=progress)
        elif missing := {document.doc_id for document in documents} - self._held():
            raise Unavailable(
                f"the tenant of the key lacks {len(missing)} of the demo shop's {len(documents)} articles",
                field="support.list_documents",
                remedy="Give it those of verticals/support/knowledge: `trivium ingest FOLDER --tenant NAME`.",
            )

    def search(self, query: str, *, k: int) -> Sequence[Source]:
        """The k best passages."""
        found = self._handlers["search"](SearchRequest(query=query, k=k), self._context)
        assert isinstance(found, SearchResponse)
        return found.hits

    def chat(self, text: str) -> Answer:
        """What is said to `text` as the first message; each text is asked once."""
        if text not in self._answers:
            self._answers[text] = self._chat(text)
        return self._answers[text]

    def open_ticket(self, talk: Sequence[Message]) -> Ticket:
        """The ticket about a conversation."""
        ticket = self._handlers["create_ticket"](CreateTicketRequest(messages=list(talk)), self._context)
        assert isinstance(ticket, Ticket)
        return ticket

    def _chat(self, text: str) -> Answer:
        request = ChatRequest(messages=[Message(role="user", content=text)], seed=0)
        said, sources, answered, tokens = "", {}, False, 0
        for event in self._handlers["chat"](request, self._context):  # type: ignore[union-attr]
            assert isinstance(event, ChatEvent)
            match event.root:
                case SourcesEvent(sources=found):
                    sources = {source.number: source for source in found}
                case DeltaEvent(text=piece):
                    said += piece
                case DoneEvent(answered=known, usage=usage):
                    answered, tokens = known, usage.prompt_tokens + usage.completion_tokens
        return Answer(said, sources, answered, tokens)

    def _held(self) -> set[str]:
        held: set[str] = set()
        while True:
            page = self._handlers["list_documents"](ListDocumentsRequest(limit=_PAGE, offset=len(held)), self._context)
            assert isinstance(page, DocumentPage)
            held |= {document.doc_id for document in page.documents}
            if len(page.documents) < _PAGE:
                return held
