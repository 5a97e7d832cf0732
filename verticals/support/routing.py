"""Which step of the agent comes next, from what the steps before it found. Ignores what a step does; see `agent.py`."""

from __future__ import annotations

from collections.abc import Callable

from langgraph.runtime import Runtime

from verticals.support.answerable import Answerable
from verticals.support.conversation import Intent, asks_for_ticket
from verticals.support.listening import is_strange
from verticals.support.turn import State, Turn

MAX_DECLINES = 2  # in a row in a session: the last one is a person's


def after_start(state: State, runtime: Runtime[Turn]) -> str:
    """In a session: what broke off twice is not read again."""
    return "fail" if runtime.context.is_failing else "read"


def after_read(state: State, runtime: Runtime[Turn]) -> str:
    """By verdict first, then by intent; a chat without a session has a ticket for whoever wants a person."""
    is_session = runtime.context.number is not None
    if state["verdict"].action == "refuse":
        return "refuse"
    if state["verdict"].action == "allow" and state["intent"] != Intent.HAND_OVER:
        return ("plan" if is_session else "retrieve") if state["intent"] == Intent.QUESTION else "reply"
    wants_ticket = asks_for_ticket(state["window"])
    return "hand_over" if is_session and not wants_ticket else "open_ticket"


def after_plan(state: State) -> str:
    """A question is searched for; a task has a step."""
    step = state["step"]
    if step is None:
        return "retrieve"
    return "act" if step.kind == "act" else "tell"


def after_search_with(is_answerable: Answerable) -> Callable[[State, Runtime[Turn]], str]:
    """By whether the passages answer; what is not the shop's counts as no decline."""

    def after_search(state: State, runtime: Runtime[Turn]) -> str:
        if state["evidence"] and is_answerable(state["query"], state["hits"]):
            return "answer"
        if runtime.context.number is None or is_strange(state["window"][-1].content, state["understood"]):
            return "decline"
        return "give_up" if state.get("declines", 0) + 1 >= MAX_DECLINES else "decline"

    return after_search
