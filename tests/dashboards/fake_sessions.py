"""Made-up handlers of sessions, approvals, hand-offs, memory and quality, all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from verticals.contract import Context, Handler, NotFound
from verticals.support import schemas as s

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
Chat = Callable[[s.ChatRequest, Context], Iterator[s.ChatEvent]]


def _understood(text: str) -> s.Understood:
    """Anger and damage by words, the order by its form; nothing reads the rest."""
    slots = [s.SlotValue(service="Refund", slot="order_id", value="MP-10001")] if "MP-10001" in text else []
    if "furious" not in text:
        return s.Understood(slots=slots)
    return s.Understood(
        intent="damaged_or_wrong_item",
        confidence=0.91,
        in_scope=True,
        tone=s.Tone.ANGRY,
        tones={s.Tone.ANGRY: 0.7, s.Tone.FRUSTRATED: 0.3},
        emotions={"anger": 0.8, "annoyance": 0.4},
        slots=slots,
    )


class FakeSessions:
    """Sessions whose answers `chat` makes up."""

    def __init__(self, chat: Chat, *, filled: bool) -> None:
        self._chat = chat
        self.sessions: dict[str, s.SessionHistory] = {}
        self.handoffs: dict[str, s.Handoff] = {}
        self.approvals: dict[str, s.Action] = {}
        self.rated: list[s.RatedAnswer] = []
        self.memories: list[s.MemoryItem] = []
        if filled:
            self._fill()

    def _fill(self) -> None:
        session = self._begin("C-1002")
        self._say(session, "customer", "My lamp arrived broken. I want to speak to a person.")
        handoff = self._ask_person(session, "asked", "My lamp arrived broken. I want to speak to a person.")
        handoff.priority, handoff.tone = s.TicketPriority.HIGH, s.Tone.ANGRY
        handoff.tried = ["answered from: Damaged on arrival"]
        words = "refund $48.00 for the Aspen table lamp of order MP-10001"
        self.approvals["A-1"] = s.Action(
            action_id="A-1",
            tool="request_refund",
            args={"order_id": "MP-10001", "item": 1, "reason": "damaged"},
            words=words,
            status=s.ActionStatus.WAITING,
            needs_approval=True,
            customer="C-1001",
            asked_at=NOW,
        )
        for number, (attribute, value) in enumerate((("name", "Ada"), ("lamp", "Aspen")), 1):
            self.memories.append(
                s.MemoryItem(
                    memory_id=f"m-{number}",
                    attribute=attribute,
                    value=value,
                    text=f"The {attribute} is {value}.",
                    session_id="s-0",
                    turn=1,
                    valid_from=NOW,
                    valid_to=None,
                )
            )
        self.rated.append(
            s.RatedAnswer(
                session_id="s-0",
                number=2,
                rating=s.Rating.DOWN,
                comment="That is the old price.",
                question="What does shipping cost?",
                answer="Shipping costs $5 [1].",
                sources=[],
                created_at=NOW,
            )
        )

    def _begin(self, customer: str | None) -> s.SessionHistory:
        session = s.SessionHistory(
            session_id=f"s-{len(self.sessions) + 1}",
            state=s.SessionState.BOT,
            customer=customer,
            num_messages=0,
            created_at=NOW,
            updated_at=NOW,
            messages=[],
            actions=[],
            handoffs=[],
            unanswered=False,
        )
        self.sessions[session.session_id] = session
        return session

    def _say(self, session: s.SessionHistory, role: Any, content: str, **more: Any) -> s.SessionMessage:
        number = len(session.messages) + 1
        said = s.SessionMessage(number=number, role=role, content=content, created_at=NOW, **more)
        session.messages.append(said)
        session.num_messages = number
        return said

    def _ask_person(self, session: s.SessionHistory, reason: Any, summary: str) -> s.Handoff:
        handoff = s.Handoff(
            handoff_id=f"H-{len(self.handoffs) + 1}",
            session_id=session.session_id,
            status="waiting",
            reason=reason,
            summary=summary,
            customer=session.customer,
            created_at=NOW,
        )
        self.handoffs[handoff.handoff_id] = handoff
        session.state = s.SessionState.WAITING
        return handoff

    def _session(self, session_id: str) -> s.SessionHistory:
        if session_id not in self.sessions:
            raise NotFound("no such session", field="session_id")
        return self.sessions[session_id]

    def _send(self, request: s.SendMessageRequest, context: Context) -> Iterator[s.ChatEvent]:
        session = self._session(request.session_id)
        asked = s.Message(role="user", content=request.content)
        events = list(self._chat(s.ChatRequest(messages=[asked]), context))
        read = _understood(request.content)
        events.insert(-1, s.ChatEvent(s.UnderstandingEvent.model_validate(read.model_dump())))
        self._say(session, "customer", request.content, understood=read)
        text = "".join(event.root.text for event in events if isinstance(event.root, s.DeltaEvent))
        found = [one for event in events if isinstance(event.root, s.SourcesEvent) for one in event.root.sources]
        self._say(session, "assistant", text, sources=found)
        if "person" in request.content:
            handoff = self._ask_person(session, "asked", request.content)
            events.insert(-1, s.ChatEvent(s.HandoffEvent(handoff=handoff)))
        for event in events:
            if isinstance(event.root, s.DoneEvent):
                event.root.session_state = session.state
            yield event

    def _close(self, request: s.SessionRequest, _context: Context) -> s.Session:
        session = self._session(request.session_id)
        session.state = s.SessionState.CLOSED
        return session

    def _decide(self, request: s.DecideApprovalRequest, _context: Context) -> s.Action:
        action = self.approvals[request.action_id]
        action.status = s.ActionStatus.REJECTED if request.decision == "reject" else s.ActionStatus.DONE
        action.args, action.note = {**action.args, **request.args}, request.note
        return action

    def _take(self, request: s.TakeOverRequest, _context: Context) -> s.Handoff:
        handoff = self.handoffs[request.handoff_id]
        handoff.status, self.sessions[handoff.session_id].state = "taken", s.SessionState.PERSON
        return handoff

    def _reply(self, request: s.ReplyAsPersonRequest, _context: Context) -> s.SessionMessage:
        return self._say(self.sessions[self.handoffs[request.handoff_id].session_id], "person", request.content)

    def _back(self, request: s.HandBackRequest, _context: Context) -> s.Handoff:
        handoff = self.handoffs[request.handoff_id]
        state = s.SessionState.CLOSED if request.close else s.SessionState.BOT
        handoff.status, self.sessions[handoff.session_id].state = "returned", state
        return handoff

    def _rate(self, request: s.RateAnswerRequest, _context: Context) -> s.RatedAnswer:
        messages = self._session(request.session_id).messages
        question, answer = messages[request.number - 2 : request.number]
        rated = s.RatedAnswer(
            **request.model_dump(),
            question=question.content,
            answer=answer.content,
            sources=answer.sources,
            created_at=NOW,
        )
        self.rated.insert(0, rated)
        return rated

    def _forget(self, request: s.ForgetMemoryRequest, _context: Context) -> s.ForgetMemoryResponse:
        gone = [one for one in self.memories if request.memory_id in (None, one.memory_id)]
        self.memories = [one for one in self.memories if one not in gone]
        return s.ForgetMemoryResponse(forgotten=len(gone))

    def _quality(self, _request: s.QualityRequest, _context: Context) -> s.Quality:
        total = len(self.sessions)
        share = s.Share(count=17, total=20, share=0.85, low=0.64, high=0.95)
        none = s.Share(count=0, total=0, share=None, low=None, high=None)
        return s.Quality(
            sessions=total,
            contained=share if total else none,
            cited=share if total else none,
            liked=none,
            waiting_handoffs=sum(one.status == "waiting" for one in self.handoffs.values()),
            waiting_approvals=sum(one.status == "waiting" for one in self.approvals.values()),
        )

    def _list_handoffs(self, request: s.ListHandoffsRequest, _context: Context) -> s.HandoffPage:
        found = [one for one in self.handoffs.values() if request.status in (None, one.status)]
        return s.HandoffPage(handoffs=found, total=len(found))

    def _list_approvals(self, request: s.ListApprovalsRequest, _context: Context) -> s.ApprovalPage:
        found = [one for one in self.approvals.values() if request.status in (None, one.status)]
        return s.ApprovalPage(approvals=found, total=len(found))

    def _list_feedback(self, request: s.ListFeedbackRequest, _context: Context) -> s.FeedbackPage:
        found = [one for one in self.rated if request.rating in (None, one.rating)]
        return s.FeedbackPage(answers=found, total=len(found))

    def handlers(self) -> Mapping[str, Handler]:
        """By the operations' names."""
        return {
            "create_session": lambda _request, context: self._begin(context.customer),
            "get_session": lambda request, _context: self._session(request.session_id),
            "send_message": self._send,
            "close_session": self._close,
            "list_handoffs": self._list_handoffs,
            "take_over": self._take,
            "reply_as_person": self._reply,
            "hand_back": self._back,
            "list_approvals": self._list_approvals,
            "decide_approval": self._decide,
            "get_memory": lambda _request, context: s.MemoryView(customer=context.customer, memories=self.memories),
            "forget_memory": self._forget,
            "rate_answer": self._rate,
            "list_feedback": self._list_feedback,
            "quality": self._quality,
        }
