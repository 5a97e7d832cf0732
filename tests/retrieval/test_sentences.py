"""Sentences of a passage, and the stretches of it that say them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from retrieval.sentences import split_sentences

PASSAGE = (
    "Call us, e.g. at 9 a.m. on weekdays. See **No. 5**.\n\nTo return an item:\n\n- Log in at [the site](http://x).\n"
    "- Print the label.\n\n| Method | Price |\n| --- | --- |\n| Standard | £4.95 |\n\n# A heading\n\n"
    "- A lone item. Two."
)
LINES = st.lists(
    st.sampled_from(
        (
            *("One. **Two** is `here`.", "To do:", "- an [item](http://x. Y)", "1. Step. Then rest.", "| a | b |"),
            *("|---|---|", "# Head", "", "   ", "---", "__Why__? Because."),
        )
    )
)


def test_a_row_that_ends_in_an_abbreviation_has_one_full_stop() -> None:
    (row,) = split_sentences("| Service | Order by |\n|---|---|\n| Express | 1 p.m. |")

    assert row.text == "Service: Express; Order by: 1 p.m."


def test_a_passage_is_read_as_sentences_lists_with_their_lead_and_rows_with_their_columns() -> None:
    assert [sentence.text for sentence in split_sentences(PASSAGE)] == [
        "Call us, e.g. at 9 a.m. on weekdays.",
        "See No. 5.",
        "To return an item: Log in at the site; Print the label.",
        "Method: Standard; Price: £4.95.",
        "A lone item.",
        "Two.",
    ]


def test_a_sentence_names_its_stretch_of_the_passage_with_its_mark_up() -> None:
    assert [PASSAGE[s.start : s.end] for s in split_sentences(PASSAGE)] == [
        "Call us, e.g. at 9 a.m. on weekdays.",
        "See **No. 5**.",
        "To return an item:\n\n- Log in at [the site](http://x).\n- Print the label.",
        "| Standard | £4.95 |",
        "A lone item.",
        "Two.",
    ]


def test_a_list_that_opens_a_passage_is_led_by_its_heading() -> None:
    passage = "- Drops.\n- Pets.\n\nAsk us first."

    sentences = split_sentences(passage, heading="Not covered")

    assert [sentence.text for sentence in sentences] == ["Not covered: Drops; Pets.", "Ask us first."]
    assert passage[sentences[0].start : sentences[0].end] == "Drops.\n- Pets."


@given(LINES)
def test_every_word_of_a_sentence_but_column_names_stands_in_its_stretch(lines: list[str]) -> None:
    passage = "\n".join(lines)

    sentences = split_sentences(passage)

    for sentence in sentences:
        stretch = re.sub(r"\*\*|__|`|[\[\]|]", "", passage[sentence.start : sentence.end])
        row = passage[sentence.start] == "|"
        said = [cell.split(": ")[-1] for cell in sentence.text.rstrip(".").split("; ")] if row else [sentence.text]
        assert all(word in stretch for part in said for word in re.findall(r"\w+", part))
    assert [s.start for s in sentences] == sorted(s.start for s in sentences)
