"""A planner by rules: words name the task, patterns find order numbers and addresses. Ignores whether it is allowed.

Rules, not the embedded model: a 135M model is no judge of what a customer wants done. A question about how something
works ("How long do I have to return a lamp?") is no task; it is answered from the articles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from verticals.support.planning import Proposal
from verticals.support.referents import with_referent
from verticals.support.schemas import Message
from verticals.support.shop.tools import TOOLS

ORDER_ID = re.compile(r"(?<![A-Za-z0-9])MP[- ]?(\d{5})(?![A-Za-z0-9])", re.IGNORECASE)  # signs may touch it
ADDRESS = re.compile(
    r"(?<!\d)(?P<street>\d{1,6}[A-Za-z]? (?:(?! to \d)[A-Za-z0-9 .'#/-]){2,100}?), ?"
    r"(?P<city>[A-Za-z][A-Za-z .'-]{1,60}?),? (?P<state>[A-Z]{2}),? (?P<postal_code>\d{5}(?:-\d{4})?)\b"
)
REASONS: dict[str, str] = {
    "wrong_item": r"wrong (?:item|size|colou?r|product|one|order)|not what i ordered|something else than",
    "faulty": r"faulty|defect\w*|stopped working|(?:does not|doesn't|do not|don't|not) (?:work|working|turn on)|"
    r"malfunction\w*",
    "damaged": r"damaged?|broken|smashed|cracked|shattered|torn|scratched|dented",
    "changed_mind": r"changed my mind|(?:do not|don't|no longer) (?:want|need|like)|"
    r"too (?:big|small|large|dark|bright)|(?:does not|doesn't) (?:fit|match|suit)|not (?:the right|needed)|no use for",
}
_MEMBERSHIP = r"(?:membership|subscription|maple circle)"
_STOP = r"(?:pause|stop|turn off|switch off|end)"
_TASKS: tuple[tuple[str, str], ...] = (  # the first that fits
    (
        "pause_subscription",
        rf"{_STOP}.{{0,40}}renew\w*.{{0,20}}{_MEMBERSHIP}|{_STOP}.{{0,40}}{_MEMBERSHIP}.{{0,20}}renew\w*|"
        rf"{_MEMBERSHIP}.{{0,30}}not renew|(?:not|never|don't) renew.{{0,30}}{_MEMBERSHIP}|"
        rf"pause.{{0,30}}{_MEMBERSHIP}",
    ),
    ("resume_subscription", rf"(?:resume|restart|renew\b|turn .{{0,20}}\bon\b|reactivate).{{0,40}}{_MEMBERSHIP}"),
    ("cancel_subscription", rf"(?:cancel|quit|leave|end).{{0,40}}{_MEMBERSHIP}"),
    ("subscription_status", rf"(?:when|until|how long|does|is|status).{{0,30}}my {_MEMBERSHIP}.{{0,40}}"),
    ("cancel_order", r"cancel(?:ling|ing)?\b"),
    ("request_refund", r"refund\w*|money back|return(?:ing)?\b|(?:send|take|give) .{1,60} back"),
    (
        "change_delivery_address",
        r"(?:change|update|correct|redirect|send|deliver|ship).{0,60}(?:order|parcel|package|mp-?\d{5}).{0,60}"
        r"(?:address|\bto \d)|(?:change|update|correct).{0,20}(?:delivery|shipping) address",
    ),
    ("change_address", r"(?:change|update|correct).{0,30}address|(?:i have|i've|i) moved\b|my new address"),
    ("list_orders", r"(?:list|show|what are|which are|see).{0,20}my (?:\w+ )?orders"),
    ("order_status", r"(?:where(?:'s| is| are)|status|track|arriv\w*|when will).{0,40}(?:order|parcel|package)"),
    ("look_up_order", r"(?:what(?:'s| is| did i| was)|details|contents?|items|total|cost).{0,30}order"),
)
_OF_UNNAMED = frozenset({"cancel_order", "change_address"})  # read where nothing says what is cancelled, whose address
_WISH = re.compile(
    r"\b(?:i|we)(?:'d| would)? (?:really )?(?:like|want|need|wish|have to|am|'m)\b|\bplease\b|"
    r"\b(?:can|could|would) you\b|\bhelp me\b|\blet me\b|\bmy (?:money|new address)\b|\bi(?: have|'ve)? moved\b|"
    r"^(?:(?:then|and|so|but|ok(?:ay)?|no|yes|well)\b,? )*"
    r"(?:cancel|refund|change|update|correct|return|pause|stop|resume|renew|turn|send|show|list|redirect|track)\b"
)
_ASKS_HOW = re.compile(r"^(?:how|what|when|why|which|who|do|does|is|are|can i|may i|could i|will|if)\b")
# even with an order's number this is no wish for a change
_ASKS_WHY = re.compile(r"^(?:how|why|what if|when (?:will|does|do|is|are|can))\b")
_SENTENCE_END = re.compile(r"(?<=[.!?]) ")
_OWN = re.compile(
    r"^(?:where(?:'s| is| are)|when will|what(?:'s| is) the status of|when does|until when|is|does) .{0,20}\bmy\b|"
    r"^wh(?:at|ich) are my (?:\w+ )?orders\b"
)
_GOODS = (  # what was bought, rather than what goes with it
    r"(?!(?:[\w-]+ )*(?:order|parcel|package|refund|money|e-?mail|message|code|invoice|receipt|points?|voucher|card|"
    r"account|link|label|discount|membership|subscription|return|confirmation|details?|data|address|password)s?\b)"
    r"[\w -]{2,30}?"
)
_WHERE_GOODS = re.compile(
    rf"\bwhere(?:'s| is| are) my {_GOODS}(?:[?.!,]|$)|"
    rf"\bwhen (?:will|does|is|are) my {_GOODS} (?:going to )?(?:arrive|come|get here|be (?:here|delivered|shipped))\b"
)
_NOT_COME = re.compile(
    r"\b(?:my|our|the|your) (?:[\w-]+ ){1,4}?(?:(?:still )?(?:has|have|had|did|was|were|is|are)(?:n't| not)|never)"
    r"(?: yet| even| been)* (?:arrived?|c[oa]me|here|delivered|turn(?:ed)? up|show(?:n|ed)? up)\b|"
    r"\b(?:(?:have|did)(?:n't| not)|never)(?: yet| even)? (?:receive|received|get|got|gotten) (?:my|our|the)\b|"
    r"\b(?:order|parcel|package|delivery) is (?:[\w-]+ ){0,3}(?:late|overdue|lost|missing)\b"
)


class RulePlanner:
    """Reads tasks by words; see the head of this file."""

    def propose(self, window: Sequence[Message], pending: Proposal | None, *, tenant: str) -> Proposal | None:
        """See `planning.Planner`."""
        said = [_plain(message.content) for message in window if message.role == "user"]
        last, tool = said[-1], _read_task(said[-1])
        is_change = pending is not None and TOOLS[pending.tool].apply is not None  # "it" is then what was asked for
        if not is_change and (tool is None or tool in _OF_UNNAMED):
            meant = _read_task(with_referent(said))
            tool = tool if meant in (None, "order_status") else meant  # a state that was told: the articles help on
        found = read_args(window[-1].content)
        if tool is None and pending is not None:
            wanted = TOOLS[pending.tool].args.model_fields
            new = {name: value for name, value in found.items() if name in wanted}
            return Proposal(pending.tool, {**pending.args, **new}) if new else None
        if tool is None and "order_id" not in found and _WHERE_GOODS.search(last):
            return Proposal("order_status")  # of whichever order they are in, not of the one last spoken of
        if tool is None and ("order_id" in found or _is_missing(window)):
            tool = "order_status"  # "any news of MP-10001?", "my lamp has not come"
        return None if tool is None else from_words(tool, window, pending)


def from_words(tool: str, window: Sequence[Message], pending: Proposal | None) -> Proposal:
    """A tool with the arguments that the last message names, that are pending, and the order last spoken of."""
    kept = pending.args if pending and pending.tool == tool else {}
    earlier = [message.content for message in window[:-1] if message.role == "user"]
    order_id = next((f["order_id"] for text in reversed(earlier) if "order_id" in (f := read_args(text))), None)
    known = {**({"order_id": order_id} if order_id else {}), **kept, **read_args(window[-1].content)}
    return Proposal(tool, {name: v for name, v in known.items() if name in TOOLS[tool].args.model_fields})


def read_args(text: str) -> dict[str, Any]:
    """Order number, address and reason that a message names."""
    found: dict[str, Any] = {}
    if numbers := ORDER_ID.findall(text):
        found["order_id"] = f"MP-{numbers[-1]}"
    if address := ADDRESS.search(" ".join(ORDER_ID.sub(";", text).split())):  # its digits are no house number
        found |= {name: value.strip() for name, value in address.groupdict().items()}
    for reason, words in REASONS.items():
        if re.search(rf"\b(?:{words})\b", _plain(text)):
            found["reason"] = reason
            break
    return found


def asks_for_state(message: Message) -> bool:
    """Whether a message asks where an order is, or says that it has not come."""
    said = _plain(message.content)
    return bool(_WHERE_GOODS.search(said)) or _is_missing([message]) or _read_task(said) == "order_status"


def asks_about(text: str) -> bool:
    """Whether a message asks how something works, rather than for it to be done."""
    said = _plain(text)
    return "?" in said or bool(_ASKS_HOW.search(said))


def _is_missing(window: Sequence[Message]) -> bool:
    """Whether something has not come, of an order not spoken of yet: once its state is told, the articles help on."""
    *earlier, last = (_plain(message.content) for message in window if message.role == "user")
    says_so = any(_NOT_COME.search(part) and not _ASKS_HOW.search(part) for part in _SENTENCE_END.split(last))
    return says_so and not any(map(ORDER_ID.search, earlier))


def _read_task(said: str) -> str | None:
    """The task of a message; one that asks something is read sentence by sentence ("I am angry! How do I ...?")."""
    names_order = bool(ORDER_ID.search(said))
    sentences = _SENTENCE_END.split(said)
    parts = sentences if any(map(_ASKS_HOW.search, sentences)) else [said]
    return next((tool for part in parts if (tool := _task_of(part, names_order=names_order))), None)


def _task_of(said: str, *, names_order: bool) -> str | None:
    if not (names_order or _OWN.search(said) or (_WISH.search(said) and not _ASKS_HOW.search(said))):
        return None
    for tool, words in _TASKS:
        if re.search(rf"\b(?:{words})", said) and not (_ASKS_WHY.search(said) and TOOLS[tool].apply):
            return tool
    return None


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("’", "'").split())
