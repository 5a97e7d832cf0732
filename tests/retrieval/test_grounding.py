"""Support means: some sentence of a passage says it. The refusals matter most."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.documents import Hit
from retrieval.grounding import (
    MAX_SENTENCE_CHARS,
    Evidence,
    collect_evidence,
    content_stems,
    find_support,
    quantities,
    split_sentences,
    stream_sentences,
)

POLICY = [
    Evidence("Made-to-measure furniture and opened mattresses cannot be returned unless they are faulty.", 0, 1.0),
    Evidence("You can return most items within 45 days of delivery.", 0, 0.9, "Returns"),
    Evidence("Delivery is free for orders over £60.", 1, 0.8, "Delivery costs"),
    Evidence("Express delivery costs £9.95 and takes one to two working days.", 1, 0.7, "Delivery costs"),
]


def _hit(text: str, *, title: str = "Title", heading: str = "") -> Hit:
    return Hit("p", "d", title, heading, text, 1.0, 0.5)


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        ("You can return most items within 45 days of delivery.", 1),
        ("You can return items within 45 days of delivery", 1),
        ("Opened mattresses cannot be returned unless they are faulty.", 0),
        ("Opened mattresses can't be returned unless they're faulty.", 0),
        ("Orders over 60 pounds have free delivery.", 2),
        ("Express delivery takes 1 to 2 business days and costs £9.95.", 3),
    ],
)
def test_what_the_evidence_says_is_supported(sentence: str, source: int) -> None:
    assert find_support(sentence, POLICY) == POLICY[source]


@pytest.mark.parametrize(
    "sentence",
    [
        "You can return most items within 30 days of delivery.",  # another number
        "You can return most items within 45 working days of delivery.",  # another unit
        "You can return all items within 45 days of delivery.",  # a wider rule
        "You can return an opened mattress.",  # the negation is gone
        "Opened mattresses cannot be returned.",  # the condition is gone
        "Delivery is free for orders under £60.",  # the limit is turned around
        "Delivery is free.",  # the limit is gone
        "Delivery costs £60.",  # the number belongs to something else
        "You cannot return most items within 45 days of delivery.",  # a negation is new
        "Your dog can return most items within 45 days of delivery by rocket.",  # new matter
        "Express delivery.",  # a fragment
        "Yes.",
        "",
    ],
)
def test_what_the_evidence_does_not_say_is_refused(sentence: str) -> None:
    assert find_support(sentence, POLICY) is None


def test_amounts_are_read_with_their_units_in_words_and_digits() -> None:
    text = (
        "thirty-day, five working days, £1,000.50, 20 dollars, 10 per cent, 2 pm, 5-year, one of them, two or 3 weeks"
    )

    assert quantities(text) == {
        ("30", "day"),
        ("5", "working day"),
        ("1000.5", "£"),
        ("20", "$"),
        ("10", "%"),
        ("2", "pm"),
        ("5", "year"),
        ("2", "week"),
        ("3", "week"),
    }


def test_stop_words_and_numbers_carry_no_content() -> None:
    assert content_stems("You can't return it within 45 working days") == ["return"]


def test_a_passage_is_read_as_sentences_lists_with_their_lead_and_rows_with_their_columns() -> None:
    passage = (
        "Call us, e.g. at 9 a.m. on weekdays. See **No. 5**.\n\nTo return an item:\n\n- Log in at [the site](http://x).\n"
        "- Print the label.\n\n| Method | Price |\n| --- | --- |\n| Standard | £4.95 |\n\n# A heading\n\n"
        "- A lone item. Two."
    )

    assert split_sentences(passage) == [
        "Call us, e.g. at 9 a.m. on weekdays.",
        "See No. 5.",
        "To return an item: Log in at the site; Print the label.",
        "Method: Standard; Price: £4.95.",
        "A lone item.",
        "Two.",
    ]


def test_text_that_arrives_in_pieces_leaves_as_the_same_sentences() -> None:
    text = "Delivery costs £4.95. It takes 3 to 5 days.\nIs that fine? Yes"

    by_letter = list(stream_sentences(iter(text)))

    assert by_letter == ["Delivery costs £4.95.", "It takes 3 to 5 days.", "Is that fine?", "Yes"]
    assert by_letter == list(stream_sentences(iter([text])))


def test_a_sentence_is_released_before_the_next_one_is_complete() -> None:
    def pieces() -> object:
        yield "One is done. T"
        raise AssertionError("asked for more than it needed")

    assert next(stream_sentences(pieces())) == "One is done."  # type: ignore[arg-type]


def test_a_text_without_ends_is_cut() -> None:
    cut = list(stream_sentences(["word "] * 1000))

    assert max(map(len, cut)) <= MAX_SENTENCE_CHARS + 5
    assert " ".join(cut) == " ".join(["word"] * 1000)


def test_the_sentence_with_the_questions_rare_words_is_the_best_evidence() -> None:
    hits = [
        _hit("We deliver on weekdays. Delivery costs £4.95. We do not deliver to PO boxes."),
        _hit("Refunds take 5 days."),
    ]

    best, *_ = collect_evidence("Do you deliver to PO boxes?", hits)

    assert (best.text, best.source) == ("We do not deliver to PO boxes.", 0)


def test_similarity_can_find_evidence_that_shares_no_word() -> None:
    hits = [_hit("Parcels leave on weekdays. Money comes back in five days.")]

    def similarity(question: str, sentences: list[str]) -> np.ndarray:
        return np.array([float("Money" in sentence) for sentence in sentences])

    best, *_ = collect_evidence("When am I refunded?", hits, similarity=similarity)  # type: ignore[arg-type]

    assert best.text == "Money comes back in five days."


def test_evidence_is_at_most_k_sentences_none_twice_and_none_of_nothing() -> None:
    hits = [_hit("Same words. Other words. More words."), _hit("Same words.")]

    assert [e.text for e in collect_evidence("same words", hits, k=3)].count("Same words.") == 1
    assert len(collect_evidence("same words", hits, k=2)) == 2
    assert collect_evidence("same words", [_hit("- - -")]) == []
    assert collect_evidence("same words", []) == []
