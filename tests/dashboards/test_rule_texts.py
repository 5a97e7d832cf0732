"""Every rule of a schema's fields has its Chinese."""

from __future__ import annotations

import pytest

from dashboards.service_texts import in_chinese
from verticals.broken_rules import OTHER, RULES

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


def test_what_the_rule_names_is_told_as_it_is() -> None:
    assert in_chinese("must be one of 'red', 'blue'") == "须为以下之一：'red', 'blue'"
    assert in_chinese("must be well-formed JSON: line 3 column 17") == "须为格式正确的 JSON：第 3 行第 17 列"
