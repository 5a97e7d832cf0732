"""The agent's steps that only a session has: plan, tell, act, hand over. Ignores how questions are answered.

Those with effects, `act` and the hand-offs, may run twice and have their effect once, keyed by the message's number.
"""

from __future__ import annotations

from datetime import UTC, datetime

from langgraph.runtime import Runtime

from verticals.contract import TriviumError
from verticals.support.actions import action_id_of
from verticals.support.conversation import WINDOW_TURNS, read_window
from verticals.support.handoffs import HANDED_OFF, Brief, Reason
from verticals.support.listening import Listener, suggest
from verticals.support.planning import Proposal
from verticals.support.policy import Step, sorry
from verticals.support.schemas import ActionEvent, ActionStatus, ChatEvent, HandoffEvent, Tone
from verticals.support.shop.tool import Shopper
from verticals.support.state.session import Exchange, Kept, known_args, slot_values, without_task
from verticals.support.turn import Desks, State, Turn, say, say_kindly, show_sources, with_care

SUBMITTED = "I have passed this on to a colleague for approval: {words}. You will read the outcome here."
UNANSWERED = f"I'm sorry, I don't know that either. {HANDED_OFF}"
FAILED = f"I'm sorry, something went wrong on our side. {HANDED_OFF}"


class SessionNodes:
    """Nodes of `SupportAgent`'s graph."""

    def __init__(self, desks: Desks, listener: Listener) -> None:
        self._desks, self._listener = desks, listener

    def plan(self, state: State, runtime: Runtime[Turn]) -> State:
        """The next step of what the customer wants done; none for a question, or a customer that is not known."""
        context = runtime.context.context
        if context.customer is None:
            return {"step": None}
        pending = state.get("pending") or {}
        step = self._desks.policy.decide(
            state["window"],
            Shopper(context.tenant, context.customer, datetime.now(UTC)),
            pending=_proposal(state),
            is_confirming=bool(pending.get("is_confirming")),
            suggested=suggest(state["window"][-1].content, state["understood"]),
            known=known_args(state.get("dialogue", {})),
        )
        return {"step": step}

    def tell(self, state: State, runtime: Runtime[Turn]) -> State:
        """Ask for what is missing or for a yes, or tell a result or a rule."""
        step, turn = _step(state), runtime.context
        say_kindly(runtime, state)
        say(runtime, step.words)
        turn.did = f"{'told' if step.kind == 'tell' else 'asked'}: {step.words}"
        turn.learned |= {"pending": None, "declines": 0}
        if step.proposal is not None:
            asked = {"tool": step.proposal.tool, "args": dict(step.proposal.args), "words": step.words}
            turn.learned["pending"] = {**asked, "is_confirming": step.kind == "confirm", "reminders": 0}
        return {}

    def act(self, state: State, runtime: Runtime[Turn]) -> State:
        """The customer has confirmed: submit the change; what needs no person is made at once, or a person looks."""
        turn, proposal = runtime.context, _step(state).proposal
        assert proposal is not None, "what is confirmed was proposed"
        try:
            action = self._desks.actions.submit(
                proposal.tool,
                proposal.args,
                turn.context,
                action_id=action_id_of(turn.context.tenant, turn.conversation_id, str(turn.number)),
                customer=str(turn.context.customer),
                asked_at=datetime.now(UTC),
                session_id=turn.conversation_id,
            )
        except TriviumError as error:  # the shop's rules, or another change was faster
            turn.did = f"could not {proposal.tool}: {error.rule}"
            self._hand_over(state, runtime, reason="failed", words=f"{sorry(error)} {HANDED_OFF}")
            return {}
        runtime.context.emit(ChatEvent(ActionEvent(action=action)))
        if action.status == ActionStatus.FAILED:
            turn.did = f"could not {action.words}: {action.outcome}"
            self._hand_over(state, runtime, reason="failed", words=f"{action.outcome} {HANDED_OFF}")
            return {}
        waits = action.status == ActionStatus.WAITING
        turn.did = f"passed on for approval: {action.words}" if waits else f"done: {action.words}"
        say(runtime, SUBMITTED.format(words=action.words) if waits else str(action.outcome))
        turn.learned |= {
            "declines": 0,
            "pending": None,
            "dialogue": without_task(self.follow(state, runtime), proposal.tool),
        }
        return {}

    def hand_over(self, state: State, runtime: Runtime[Turn]) -> State:
        """The customer wants a person."""
        words = with_care(state, HANDED_OFF)
        if words == HANDED_OFF:
            say_kindly(runtime, state)
        self._hand_over(state, runtime, reason="asked", words=words)
        return {}

    def give_up(self, state: State, runtime: Runtime[Turn]) -> State:
        """The articles don't say, for the second time in a row: no offer in circles, a person."""
        show_sources(runtime, state)
        say_kindly(runtime, state)
        runtime.context.did = "found no answer in the articles, twice in a row"
        self._hand_over(state, runtime, reason="unanswered", words=UNANSWERED)
        return {}

    def fail(self, state: State, runtime: Runtime[Turn]) -> State:
        """The agent broke off twice on this message: whatever is broken is not asked again."""
        turn = runtime.context
        turn.did = "broke off before an answer, twice"
        turn.learned["dialogue"] = state.get("dialogue", {})
        found: State = {"window": read_window(turn.messages), "understood": None, "step": None}
        self._hand_over({**state, **found}, runtime, reason="failed", words=FAILED)
        return found

    def follow(self, state: State, runtime: Runtime[Turn]) -> Kept:
        """The dialogue state after this message; worked out once a turn."""
        learned, window = runtime.context.learned, state["window"]
        if "dialogue" not in learned:
            step, pending = state["step"], state.get("pending") or {}
            proposal = step.proposal if step and step.proposal else _proposal(state)
            turn = Exchange(
                user=window[-1].content,
                system=window[-2].content if len(window) > 1 else "",
                asked=_proposal(state),
                is_confirming=bool(pending.get("is_confirming")),
                tool=proposal.tool if proposal else None,
            )
            learned["dialogue"] = self._desks.states.follow(state.get("dialogue", {}), turn)
        return learned["dialogue"]

    def _hand_over(self, state: State, runtime: Runtime[Turn], *, reason: Reason, words: str) -> None:
        """Ask for a person and say so; the bot is silent from here."""
        turn, understood = runtime.context, state["understood"]
        assert turn.number is not None, "only sessions are handed over"
        brief = Brief(
            tone=self._listener.mood(state["window"], understood.tone) if understood else Tone.CALM,
            intent=understood.intent if understood else None,
            tried=tried_so_far(state, turn),
            slots=slot_values(self.follow(state, runtime)),
        )
        where = (turn.conversation_id, turn.number)
        handoff = self._desks.handoffs.open(*where, state["window"], turn.context, reason=reason, brief=brief)
        say(runtime, words)
        runtime.context.emit(ChatEvent(HandoffEvent(handoff=handoff)))
        turn.answered = False
        turn.learned |= {"declines": 0, "pending": None, "tried": []}


def tried_so_far(state: State, turn: Turn) -> list[str]:
    """What the assistant did in the last turns, oldest first, for whoever takes over."""
    return [*state.get("tried", []), *filter(None, [turn.did])][-WINDOW_TURNS:]


def _proposal(state: State) -> Proposal | None:
    pending = state.get("pending")
    return Proposal(pending["tool"], pending["args"]) if pending else None


def _step(state: State) -> Step:
    step = state["step"]
    assert step is not None, "routed by it"
    return step
