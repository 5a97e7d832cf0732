"""From what a planner proposes to a change that may be made: check, ask, confirm. Ignores how it is said and stored.

    propose ─> the customer's own words? ─> this order? ─> complete? ─> allowed? ─> confirmed by the customer? ─> act
                        └ dropped             └ tell          └ ask        └ tell          └ ask

An argument counts only if the customer said it (`supported`): no model, article or tool result can put one in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from verticals.contract import Conflict, InvalidInput, NotFound, TriviumError
from verticals.support.planning import Planner, Proposal
from verticals.support.rule_planner import ORDER_ID, REASONS, from_words
from verticals.support.schemas import Message, TicketAction
from verticals.support.shop.executor import Executor
from verticals.support.shop.tool import AddressArgs, RefundArgs, Shopper
from verticals.support.shop.tools import TOOLS

CONFIRM = "Shall I do this? Please answer yes or no."
LEFT = "All right, I have changed nothing."
_WHERE_TO = "What is the new address? Please write it as: 12 Elm Street, Springfield, IL 62704."
QUESTIONS = {
    "order_id": "Which order is it? Please give me its number, such as MP-10001.",
    "reason": "Why does it go back: is it damaged, faulty, the wrong item, or do you no longer want it?",
    **dict.fromkeys(("street", "city", "state", "postal_code"), _WHERE_TO),
}
_YES = re.compile(
    r"(?:yes|yeah|yep|sure|ok(?:ay)?|correct|right|please|please do|go ahead|do it|i confirm|confirmed|that's right)"
    r"(?: (?:please|please do|do it|go ahead|do|that's right|correct|thanks|thank you))*|"
    r"(?:是|好|对|行|可以|确认|没错|没问题|同意)(?:的|啊|呀|了)?(?: ?谢谢)?"
)
_NO = re.compile(
    r"(?:no|nope|stop|cancel that|never ?mind|don't|do not|wait)(?: (?:thanks|thank you|please|don't|not now))*|"
    r"(?:不是|不要|不用|不|否|算了|等等|先不要|取消)(?:了|吧)?(?: ?谢谢)?"
)


@dataclass(frozen=True)
class Step:
    """What comes next: words for the customer, and what is then being talked about.

    `kind`: "ask" (a slot), "confirm", "act" (make `proposal`), "tell" (a result or a rule; nothing is pending).
    """

    kind: Literal["ask", "confirm", "act", "tell"]
    words: str = ""
    proposal: Proposal | None = None


class Policy:
    """Decides on the next step of a task."""

    def __init__(self, planner: Planner, executor: Executor) -> None:
        self._planner, self._executor = planner, executor

    def decide(
        self,
        window: Sequence[Message],
        who: Shopper,
        *,
        pending: Proposal | None,
        is_confirming: bool,
        suggested: str | None = None,
        known: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> Step | None:
        """The next step; None if the last message is not about a task.

        Args:
            window: The last five turns.
            who: The customer of the key.
            pending: What is being talked about.
            is_confirming: Whether `pending` is complete and was put to the customer.
            suggested: A tool to ask about where no planner finds one and nothing is pending.
            known: By tool, arguments that the session's state holds; they count if the customer said them in `window`.
        """
        words = " ".join(re.findall(r"[\w']+", window[-1].content.lower().replace("’", "'")))
        if pending and is_confirming and _YES.fullmatch(words):
            return Step("act", proposal=pending)
        if pending and _NO.fullmatch(words):
            return Step("tell", LEFT)
        proposal = self._planner.propose(window, pending, tenant=who.tenant)
        if proposal is None and pending and TOOLS[pending.tool].args is RefundArgs:
            proposal = pending  # the message may name the item
        if proposal is None and pending is None and suggested:
            proposal = from_words(suggested, window, None)
        if proposal is None or proposal.tool not in TOOLS:
            return None
        said = [message.content for message in window if message.role == "user"]
        already = pending.args if pending and pending.tool == proposal.tool else {}
        wanted = {**_of_same_order(known.get(proposal.tool, {}), proposal.args), **proposal.args}
        args = {n: v for n, v in wanted.items() if already.get(n) == v or supported(n, v, said)}
        if args.get("order_id") != already.get("order_id"):
            args.pop("item", None)  # it was one of the other order
        step = self._complete(Proposal(proposal.tool, args), said, who)
        is_stuck = pending is not None and step.kind == "ask" and step.proposal == pending
        return None if is_stuck else step  # the message was about something else

    def possible_actions(self, window: Sequence[Message], who: Shopper) -> list[TicketAction]:
        """Changes that the conversation asks for and the shop allows now, with all arguments; often none or one."""
        said = [message.content for message in window if message.role == "user"]
        turns = [i for i, message in enumerate(window) if message.role == "user"]
        proposals = (self._planner.propose(window[: i + 1], None, tenant=who.tenant) for i in reversed(turns))
        proposal = next((p for p in proposals if p and p.tool in TOOLS and TOOLS[p.tool].apply), None)
        if proposal is None:
            return []
        args = {n: v for n, v in proposal.args.items() if supported(n, v, said)}
        variants = [args]
        if TOOLS[proposal.tool].args is RefundArgs and "order_id" in args:
            try:
                variants = [{**args, "item": item} for item in self._items(args["order_id"], said, who)]
            except NotFound:
                return []
        return [TicketAction(tool=proposal.tool, args=v) for v in variants if self.allows(proposal.tool, v, who)]

    def allows(self, tool: str, args: Mapping[str, Any], who: Shopper) -> bool:
        """Whether the tool could run now, without running it."""
        try:
            self._executor.plan(tool, args, who)
        except TriviumError:
            return False
        return True

    def _complete(self, proposal: Proposal, said: Sequence[str], who: Shopper) -> Step:
        tool, args = TOOLS[proposal.tool], dict(proposal.args)
        try:
            if "order_id" in args:
                self._executor.check(tool.name, args["order_id"], who)
            if tool.args is RefundArgs and "order_id" in args and "item" not in args:
                items = self._items(args["order_id"], said, who)
                args |= {"item": items[0]} if len(items) == 1 else {}
            missing = next((name for name in tool.args.model_fields if name not in args), None)
            if missing:
                words = self._which_item(args["order_id"], who) if missing == "item" else QUESTIONS[missing]
                return Step("ask", words, Proposal(tool.name, args))
            plan = self._executor.plan(tool.name, args, who)
        except InvalidInput as error:
            field = (error.field or "").removeprefix("args.")
            kept = {name: value for name, value in args.items() if name != field}
            return Step("ask", QUESTIONS[field], Proposal(tool.name, kept))
        except (NotFound, Conflict) as error:
            return Step("tell", sorry(error))
        if tool.apply is None:
            return Step("tell", plan.done)
        return Step("confirm", f"I can {plan.words}. {CONFIRM}", Proposal(tool.name, args))

    def _items(self, order_id: str, said: Sequence[str], who: Shopper) -> list[int]:
        """Items of the order in the latest message that names any, by number or title; else the only item it has."""
        titles = self._executor.titles(order_id, who)
        for text in reversed(said):
            numbers = range(1, len(titles) + 1)
            named = [number for number, title in zip(numbers, titles, strict=True) if _names_item(text, number, title)]
            if named:
                return named
        return [1] if len(titles) == 1 else []

    def _which_item(self, order_id: str, who: Shopper) -> str:
        titles = self._executor.titles(order_id, who)
        listed = ", ".join(f"item {number}: {title}" for number, title in enumerate(titles, start=1))
        return f"Which one is it ({listed})?"


def _of_same_order(known: Mapping[str, Any], args: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is known, unless it was said of another order."""
    orders = {found["order_id"] for found in (known, args) if "order_id" in found}
    return known if len(orders) < 2 else {}


def _names_item(text: str, number: int, title: str) -> bool:
    """Whether a customer means an item: "item 2", or "rug" or "wool" for "Rowan wool rug"."""
    names = (f"item {number}", *(word.removesuffix("s") for word in title.lower().split()[-2:] if len(word) > 2))
    return any(re.search(rf"\b{re.escape(name)}s?\b", text.lower()) for name in names)


def supported(name: str, value: Any, said: Sequence[str]) -> bool:
    """Whether the customer said an argument in their own words.

    Args:
        name: The argument's name.
        value: Its value.
        said: The customer's messages, never those of the assistant or of documents.
    """
    if name == "item":  # found in the customer's words by the policy itself
        return False
    for text in said:
        plain = " ".join(text.lower().replace("’", "'").split())
        if name == "order_id" and value in {f"MP-{number}" for number in ORDER_ID.findall(text)}:
            return True
        if name == "reason" and value in REASONS and re.search(rf"\b(?:{REASONS[value]})\b", plain):
            return True
        if name in AddressArgs.model_fields and re.search(rf"(?<!\w){re.escape(str(value).lower())}(?!\w)", plain):
            return True
    return False


def sorry(error: TriviumError) -> str:
    """A rule of the shop as a sentence for the customer."""
    remedy = f" {error.remedy}" if error.remedy else ""
    return f"I'm sorry, but {error.rule}.{remedy}"
