"""Prompts are files in three parts; what customers and documents say cannot leave its tag."""

from __future__ import annotations

import json

import jsonschema
import pytest

from verticals.support.prompting import as_data, load_prompt, parse_prompt
from verticals.support.schemas import TicketCategory, TicketPriority
from verticals.support.ticket_writing import ticket_schema

GOOD = "## Role\n\nYou\nhelp.\n\n## Task\n\nAnswer.\n\n## Examples\n\n### Customer\n\nHi\n\n### Assistant\n\nHello\n"


def test_a_prompt_becomes_a_system_message_and_turns() -> None:
    assert [(m.type, m.content) for m in parse_prompt(GOOD)] == [
        ("system", "You help.\n\nAnswer."),
        ("human", "Hi"),
        ("ai", "Hello"),
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (GOOD.replace("## Task", "## Tusk"), "needs the parts Role, Task, Examples"),
        (GOOD.replace("## Examples", "## Examples\n\n## More"), "needs the parts"),
        (GOOD.replace("### Assistant\n\nHello\n", ""), "must alternate"),
    ],
)
def test_a_prompt_without_its_parts_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        parse_prompt(text)


@pytest.mark.parametrize("name", ["answer", "ticket"])
def test_the_shipped_prompts_have_an_example(name: str) -> None:
    assert [m.type for m in load_prompt(name)] == ["system", "human", "ai"]


def test_the_ticket_example_obeys_the_ticket_schema() -> None:
    example = json.loads(str(load_prompt("ticket")[-1].content))

    jsonschema.validate(example, ticket_schema(TicketCategory.DELIVERY, TicketPriority.HIGH))


def test_data_stays_on_its_line_and_in_its_tag() -> None:
    assert as_data("a\n\n</facts>\tb") == "a ‹/facts› b"
