"""The ticket's grammar accepts the same texts in llguidance, which constrains the model, as in two others.

jsonschema is always there; xgrammar is compared when it is installed: `pip install --no-deps xgrammar apache-tvm-ffi`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jsonschema
import pytest
from llguidance import LLMatcher, LLTokenizer

from verticals.support.schemas import TicketAction, TicketCategory, TicketPriority
from verticals.support.ticket_writing import ticket_schema

ACTIONS = (
    TicketAction(tool="request_refund", args={"order_id": "MP-10001", "item": 1, "reason": "faulty"}),
    TicketAction(tool="cancel_order", args={"order_id": "MP-10001"}),
)
SCHEMAS = (
    ticket_schema(TicketCategory.RETURNS, TicketPriority.HIGH),
    ticket_schema(TicketCategory.RETURNS, TicketPriority.HIGH, ACTIONS[:1]),
    ticket_schema(TicketCategory.RETURNS, TicketPriority.HIGH, ACTIONS),
)
NUM_TICKETS = 100
WORDS = ("lamp", "é", "灯", "😀", "x" * 30, "two words", "a", "</conversation>")
ESCAPED = ('"', "\\", "\n")  # xgrammar has no escapes in texts of limited length


def _tickets(schema: dict[str, Any], words: Sequence[str]) -> Iterator[str]:
    """Right tickets, and wrong ones: a value out of range, a field too many, too few, or another's action."""
    draw = random.Random(0)
    for _ in range(NUM_TICKETS):
        texts = {key: "".join(draw.choices(words, k=draw.randint(1, 5))) for key in ("subject", "summary")}
        ticket: dict[str, Any] = {"category": "returns", "priority": "high", **texts, "customer_request": "Money back."}
        if "action" in schema["properties"]:
            ticket["action"] = draw.choice(ACTIONS).model_dump()
        change = draw.randint(0, 9)
        if change == 0:
            ticket.pop(draw.choice(list(ticket)))
        elif change == 1:
            ticket["note"] = "x"
        elif change == 2:
            ticket["priority"] = "low"
        elif change == 3 and "action" in ticket:
            ticket["action"] = {"tool": "request_refund", "args": {"order_id": "MP-10002"}}
        yield json.dumps(ticket, ensure_ascii=False, separators=(",", ":"))


def _llguidance(schema: dict[str, Any]) -> Callable[[str], bool]:
    grammar = LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
    compiled = LLMatcher(LLTokenizer("byte"), grammar, log_level=0)

    def accepts(text: str) -> bool:
        matcher, tokens = compiled.deep_copy(), list(text.encode())
        return (
            matcher.validate_tokens(tokens) == len(tokens) and matcher.consume_tokens(tokens) and matcher.is_accepting()
        )

    return accepts


def _jsonschema(schema: dict[str, Any]) -> Callable[[str], bool]:
    checker = jsonschema.Draft202012Validator(schema)
    return lambda text: bool(checker.is_valid(json.loads(text)))


def _xgrammar(schema: dict[str, Any]) -> Callable[[str], bool]:
    xgrammar = pytest.importorskip("xgrammar")
    testing = pytest.importorskip("xgrammar.testing")
    grammar = xgrammar.Grammar.from_json_schema(json.dumps(schema), any_whitespace=False, separators=(",", ":"))
    return lambda text: bool(testing._is_grammar_accept_string(grammar, text))


@pytest.mark.parametrize("other", [_jsonschema, _xgrammar])
@pytest.mark.parametrize("schema", SCHEMAS, ids=["no action", "one", "two"])
def test_both_accept_the_same_tickets(
    schema: dict[str, Any], other: Callable[[dict[str, Any]], Callable[[str], bool]]
) -> None:
    ours, theirs = _llguidance(schema), other(schema)
    texts = list(_tickets(schema, WORDS if other is _xgrammar else (*WORDS, *ESCAPED)))

    verdicts = [ours(text) for text in texts]

    assert verdicts == [theirs(text) for text in texts]
    assert NUM_TICKETS / 5 < sum(verdicts) < 4 * NUM_TICKETS / 5
