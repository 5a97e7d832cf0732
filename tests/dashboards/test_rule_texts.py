"""Every rule of a field and every title of a problem has its Chinese."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import service.api  # noqa: F401  (whose errors are of the tree)
from dashboards.service_texts import in_chinese
from verticals.broken_rules import OTHER, RULES
from verticals.contract import TriviumError

LIMITS = {
    **dict.fromkeys(("min_length", "max_length", "max_digits", "decimal_places", "whole_digits"), "7"),
    **dict.fromkeys(("gt", "ge", "lt", "le", "multiple_of"), "-0.5"),
    **dict.fromkeys(("expected", "expected_tags", "pattern"), "'a', 'b'"),
}


@pytest.mark.parametrize("rule", sorted({*RULES.values(), OTHER}))
def test_a_rule_is_told_in_chinese(rule: str) -> None:
    told = in_chinese(said := rule.format(**LIMITS))

    assert told != said
    assert not {"must", "is", "at", "or", "be"} & set(told.split())


def _kinds(kind: type[TriviumError] = TriviumError) -> Iterator[type[TriviumError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _kinds(one)


def test_every_title_of_a_problem_is_told_in_chinese() -> None:
    titles = {kind.title for kind in _kinds() if not kind.__module__.startswith("tests.")}

    assert {"Unauthenticated", "Too many requests"} <= titles
    assert [title for title in titles if in_chinese(title) == title] == []


def test_what_the_rule_names_is_told_as_it_is() -> None:
    assert in_chinese("must be one of 'red', 'blue'") == "须为以下之一：'red', 'blue'"
    assert in_chinese("must be well-formed JSON: line 3 column 17") == "须为格式正确的 JSON：第 3 行第 17 列"
