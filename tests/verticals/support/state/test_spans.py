"""What could be a value is found in a message; what could not is not."""

from __future__ import annotations

import pytest

from verticals.support.state.spans import MAX_WORDS, find_spans


@pytest.mark.parametrize(
    ("message", "text", "kind"),
    [
        ("I leave on the 8th of March.", "8th of March", "date"),
        ("How about the 8th?", "the 8th", "date"),
        ("Tuesday next week works", "Tuesday next week", "date"),
        ("the day after tomorrow", "day after tomorrow", "date"),
        ("At half past 3 in the afternoon, please", "half past 3 in the afternoon", "time"),
        ("set it for 5:15 pm.", "5:15 pm", "time"),
        ("Make it morning 10:30", "morning 10:30", "time"),
        ("six in the evening", "six in the evening", "time"),
        ("Send $1,350 to Tom", "$1,350", "money"),
        ("send seven hundred and forty bucks", "seven hundred and forty bucks", "money"),
        ("a table for two", "two", "number"),
        ("I live in Long Beach, CA now", "Long Beach, CA", "other"),
        ("play penguin highway", "penguin highway", "other"),
        ("Where is order MP-10001?", "MP-10001", "code"),
        ("It is 62704.", "62704", "code"),
        ("with Dr. Robert E. Durr", "Dr. Robert E. Durr", "other"),
    ],
)
def test_a_value_is_among_the_candidates_with_its_kind(message: str, text: str, kind: str) -> None:
    found = {span.text: span.kind for span in find_spans(message)}

    assert found[text] == kind


@pytest.mark.parametrize("message", ["The THIRD time I write about this", "It is my second lamp", "The 3rd time!"])
def test_an_ordinal_that_counts_something_is_no_date(message: str) -> None:
    assert "date" not in {span.kind for span in find_spans(message)}


def test_a_span_is_where_it_says() -> None:
    message = "Two seats in San Jose on March 3rd, at 7 pm."

    assert all(message[span.start : span.end] == span.text for span in find_spans(message))


def test_no_span_cuts_a_date_or_crosses_a_sentence() -> None:
    texts = {span.text for span in find_spans("I go March 3rd. Paris is nice.")}

    assert "March 3rd" in texts
    assert not {"March", "3rd", "3rd. Paris", "March 3rd. Paris"} & texts


def test_a_long_message_is_read_no_further_than_its_first_words() -> None:
    message = "lamp " * 300

    assert len(find_spans(message)) < MAX_WORDS * 8
    assert max(span.end for span in find_spans(message)) < 5 * MAX_WORDS


@pytest.mark.parametrize("message", ["", "   ", "?!", "\ud800 broken", "你好"])
def test_odd_messages_are_read_without_error(message: str) -> None:
    assert all(span.text in message for span in find_spans(message))
