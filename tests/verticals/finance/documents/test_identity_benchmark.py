"""The benchmark counts a field only when it equals what is printed, and reads tesseract's words in lines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.identity import join_words, report, right_fields
from tests.verticals.finance.documents.fakes import TODAY, lines_of
from verticals.finance.documents.holders import invent
from verticals.finance.documents.reading import FIELDS, interpret


def test_a_field_counts_only_when_it_is_exactly_right() -> None:
    facts = invent("passport", seed=1000, today=TODAY)
    reading = interpret(lines_of(facts), today=TODAY)

    assert right_fields(facts, reading) == dict.fromkeys(FIELDS["passport"], True)
    assert not right_fields(replace(facts, surname="OTHER"), reading)["surname"]
    assert not right_fields(facts, replace(reading, fields={}))["number"]


def test_all_right_still_has_an_interval(capsys: pytest.CaptureFixture[str]) -> None:
    report("reader", "passport", 0, [{"number": True, "sex": True}] * 10, 1.0)

    assert "| 20/20 | 1.000 (0.839 to 1.000) | 10/10 (0.722 to 1.000) | 1.0 | none |" in capsys.readouterr().out


def test_words_of_a_line_are_joined_unless_they_stand_apart() -> None:
    words = [("GEORGE", 0), ("THOMAS", 80), ("UTO", 400)]
    common = {
        "top": "0",
        "height": "20",
        "width": "70",
        "conf": "90",
        "block_num": "1",
        "par_num": "1",
        "line_num": "1",
    }

    found = join_words(iter(common | {"text": text, "left": str(left)} for text, left in words))

    assert [each.text for each in found] == ["GEORGE THOMAS", "UTO"]
