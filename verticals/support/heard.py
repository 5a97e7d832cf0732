"""What an answer's events said, for the audit trail, the ledger and the history. Ignores how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from verticals.support.schemas import (
    ActionEvent,
    ChatEvent,
    CitationEvent,
    DeltaEvent,
    DoneEvent,
    HandoffEvent,
    SourcesEvent,
    TicketEvent,
    UnderstandingEvent,
    Understood,
)


@dataclass
class Heard:
    """The events of one answer so far."""

    shown: SourcesEvent | None = None
    citations: list[CitationEvent] = field(default_factory=list)
    text: str = ""
    understood: Understood | None = None
    ids: dict[str, str] = field(default_factory=dict)
    done: DoneEvent | None = None

    def note(self, event: ChatEvent) -> None:
        """Take one event in."""
        match event.root:
            case SourcesEvent() as found:
                self.shown = found
            case CitationEvent() as citation:
                self.citations.append(citation)
            case DeltaEvent(text=piece):
                self.text += piece
            case TicketEvent(ticket=ticket):
                self.ids["ticket_id"] = ticket.ticket_id
            case ActionEvent(action=action):
                self.ids["action_id"] = action.action_id
            case HandoffEvent(handoff=handoff):
                self.ids["handoff_id"] = handoff.handoff_id
            case UnderstandingEvent() as read:
                self.understood = Understood.model_validate(read.model_dump(exclude={"type"}))
            case DoneEvent() as last:
                self.done = last

    def outcome(self) -> dict[str, Any]:
        """For a decision record: ids and outcomes."""
        return {
            "answered": bool(self.done and self.done.answered),
            "cited": list(dict.fromkeys(citation.passage_id for citation in self.citations)),
            "finish_reason": self.done.finish_reason if self.done else "cancelled",
            **self.ids,
        }
