"""The dialogue state of a shop's session as plain values: follow it, show it, offer it to the planner. Ignores scorers.

The tracker reads between the words; the shop knows the exact form of its numbers and addresses. So a value counts only
in the form that a tool takes, and what the shop's own patterns find in a message overrides what was guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from verticals.support.planning import Proposal
from verticals.support.rule_planner import ORDER_ID, asks_about, read_args
from verticals.support.schemas import SlotValue
from verticals.support.shop.tool import AddressArgs, RefundArgs
from verticals.support.shop.tools import TOOLS
from verticals.support.state.dialogue import Act, State, Turn
from verticals.support.state.tracker import StateTracker

SERVICE_OF = {
    **dict.fromkeys(("order_status", "look_up_order"), "OrderLookup"),
    **dict.fromkeys(("request_refund", "cancel_order"), "Refund"),
    **dict.fromkeys(("change_address", "change_delivery_address"), "AddressChange"),
    **dict.fromkeys(("pause_subscription", "resume_subscription", "cancel_subscription"), "Subscription"),
}
_FIELDS = {
    name: TypeAdapter(field.rebuild_annotation())
    for args in (RefundArgs, AddressArgs)
    for name, field in args.model_fields.items()
    if name != "item"  # the state names it, a tool counts it
}

Kept = dict[str, dict[str, dict[str, str]]]  # "values" and "offers": service -> slot -> value, as a checkpoint holds it


@dataclass(frozen=True)
class Exchange:
    """One turn as the state sees it.

    Attributes:
        user: The customer's message.
        system: The assistant's message before it.
        asked: What that message asked about, with the arguments known then.
        is_confirming: Whether it asked for a yes.
        tool: Of the task under way; None if there is none.
    """

    user: str
    system: str = ""
    asked: Proposal | None = None
    is_confirming: bool = False
    tool: str | None = None


class SessionTracker:
    """Follows sessions of the demo shop.

    Args:
        tracker: Of the services in `shop.json`.
    """

    def __init__(self, tracker: StateTracker) -> None:
        self._tracker = tracker

    def follow(self, kept: Kept, turn: Exchange) -> Kept:
        """The state after a turn; of a task under way alone, if there is one."""
        before = State(kept.get("values", {}), kept.get("offers", {}))
        service = SERVICE_OF.get(turn.tool or "")
        acts = _acts(turn.asked, is_confirming=turn.is_confirming)
        exact = {name: _spoken(name, value) for name, value in read_args(turn.user).items()}
        if service is None and not exact and asks_about(turn.user):
            return kept  # how something works is no wish of the customer's
        after = self._tracker.update(
            before, Turn(turn.user, turn.system, acts), services=[service] if service else None
        )
        values: dict[str, dict[str, str]] = {}
        for name, described in self._tracker.services.items():
            found = {slot: value for slot, value in after.of(name).items() if _fits(slot, value)}
            if name == service or (service is None and after.of(name)):
                slots = {slot.name for slot in described.slots}
                found |= {slot: value for slot, value in exact.items() if slot in slots}
            if found:
                values[name] = {slot: _spoken(slot, _as_arg(slot, value)) for slot, value in found.items()}
        return {"values": values, "offers": {name: dict(slots) for name, slots in after.offers.items()}}


def without_task(kept: Kept, tool: str) -> Kept:
    """The state once a task is done: the next one of its kind begins anew."""
    done = SERVICE_OF.get(tool)
    return {part: {name: slots for name, slots in services.items() if name != done} for part, services in kept.items()}


def known_args(kept: Kept) -> dict[str, dict[str, Any]]:
    """By tool, the arguments that the state holds."""
    values = kept.get("values", {})
    return {
        tool: {
            slot: _as_arg(slot, value)
            for slot, value in values.get(service, {}).items()
            if slot in TOOLS[tool].args.model_fields and slot in _FIELDS
        }
        for tool, service in SERVICE_OF.items()
    }


def slot_values(kept: Kept) -> list[SlotValue]:
    """The state as it is shown."""
    return [
        SlotValue(service=service, slot=slot, value=value)
        for service, slots in kept.get("values", {}).items()
        for slot, value in slots.items()
    ]


def _acts(asked: Proposal | None, *, is_confirming: bool) -> tuple[Act, ...]:
    """What the assistant's question did, from what it was about."""
    service = SERVICE_OF.get(asked.tool) if asked else None
    if asked is None or service is None:
        return ()
    if is_confirming:
        args = {name: value for name, value in asked.args.items() if name in _FIELDS}
        return tuple(Act(service, "CONFIRM", name, _spoken(name, value)) for name, value in args.items())
    missing = [name for name in TOOLS[asked.tool].args.model_fields if name not in asked.args]
    together = missing if missing[:1] and missing[0] in AddressArgs.model_fields else missing[:1]
    return tuple(Act(service, "REQUEST", name) for name in together)


def _spoken(name: str, value: Any) -> str:
    """An argument as a slot's value: a reason in words."""
    return str(value).replace("_", " ") if name == "reason" else str(value)


def _as_arg(slot: str, value: str) -> str:
    """A slot's value as an argument: an order's number in the shop's form, a reason as one word."""
    if slot == "order_id" and (numbers := ORDER_ID.findall(value)):
        return f"MP-{numbers[-1]}"
    return value.replace(" ", "_") if slot == "reason" else value


def _fits(slot: str, value: str) -> bool:
    """Whether a tool would take the value; a slot that no tool has is only shown."""
    try:
        return slot not in _FIELDS or bool(_FIELDS[slot].validate_python(_as_arg(slot, value)))
    except ValidationError:
        return False
