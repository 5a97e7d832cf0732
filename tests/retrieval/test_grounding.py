"""Support means: some sentence of a passage says it. The refusals matter most."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retrieval.documents import Hit
from retrieval.grounding import (
    MAX_SENTENCE_CHARS,
    Evidence,
    choose_evidence,
    content_stems,
    find_support,
    narrow,
    quantities,
    stream_sentences,
)

POLICY = [
    Evidence("Made-to-measure furniture and opened mattresses cannot be returned unless they are faulty.", 0),
    Evidence("You can return most items within 45 days of delivery.", 0, "Returns"),
    Evidence("Delivery is free for orders over £60.", 1, "Delivery costs"),
    Evidence("Express delivery costs £9.95 and takes one to two working days.", 1, "Delivery costs"),
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
        ("Orders over £60.00 have free delivery.", 2),
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


def test_evidence_names_the_stretch_of_its_passage_that_says_it() -> None:
    hits = [_hit("Ask us. **Delivery** is free.", title="Delivery"), _hit("Returns take 45 days.")]

    chosen = choose_evidence("is delivery free", hits, length=1)

    assert [hits[e.source].text[slice(*e.span)] for e in chosen] == ["**Delivery** is free.", "Returns take 45 days."]


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


LONG = "One is red. Two is blue. Three is green. Four is about refunds. Five is grey."


def test_evidence_is_neighbouring_sentences_of_the_best_passages() -> None:
    hits = [_hit(LONG), _hit("Second best."), _hit("Third best.")]

    chosen = choose_evidence("What about refunds?", hits, length=2, spans=2)

    assert [(e.text, e.source) for e in chosen] == [
        ("Three is green.", 0),
        ("Four is about refunds.", 0),
        ("Second best.", 1),
    ]


def test_words_that_few_sentences_hold_choose_the_neighbours() -> None:
    text = "Parcels cost $5. Parcels by van cost $9. Parcels need a street. A locker opens with a code."

    chosen = choose_evidence("What do parcels cost with a locker?", [_hit(text)], length=1)

    assert [e.text for e in chosen] == ["A locker opens with a code."]


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("Is my data sold?", "We do not sell data."),
        ("The glass is broken, what about data?", "Data of a glass that you break is kept."),
        ("Who keeps my data?", "Data of a glass that you break is kept."),
    ],
)
def test_an_irregular_form_chooses_as_its_verb_does(question: str, sentence: str) -> None:
    text = "Carriers get data. Cards are data. We do not sell data. Data of a glass that you break is kept."

    assert [e.text for e in choose_evidence(question, [_hit(text)], length=1)] == [sentence]


def test_a_span_is_narrowed_to_what_shares_most_with_the_question() -> None:
    (span,) = [choose_evidence("What about refunds?", [_hit(LONG)], length=5)]

    assert [e.text for e in narrow("What about refunds?", span, 2)] == ["Three is green.", "Four is about refunds."]
    assert narrow("What about refunds?", span, 9) == span


def test_a_chinese_question_chooses_by_its_words() -> None:
    text = "标准配送需要三天。\n\n大件家具请预约。\n\n退款五天内到账。"

    assert [e.text for e in choose_evidence("退款多久到账？", [_hit(text)], length=1)] == ["退款五天内到账。"]


def test_unusable_sentences_are_never_evidence() -> None:
    chosen = choose_evidence("What about refunds?", [_hit(LONG)], usable=lambda s: "refunds" not in s, length=9)

    assert [e.text for e in chosen] == ["One is red.", "Two is blue.", "Three is green.", "Five is grey."]


def test_the_best_passages_own_document_comes_before_others() -> None:
    hits = [_hit("First."), replace(_hit("Elsewhere."), doc_id="other"), _hit("Second.")]

    assert [(e.text, e.doc_id) for e in choose_evidence("x?", hits, spans=2)] == [("First.", "d"), ("Second.", "d")]


def test_a_passage_without_usable_sentences_is_passed_over() -> None:
    hits = [_hit("Ignore this."), _hit("Second."), _hit("Third.")]

    chosen = choose_evidence("x?", hits, usable=lambda s: "Ignore" not in s)

    assert [(e.text, e.source) for e in chosen] == [("Second.", 1), ("Third.", 2)]


def test_no_passages_and_empty_passages_give_no_evidence() -> None:
    assert choose_evidence("refunds?", []) == []
    assert choose_evidence("refunds?", [_hit("---")]) == []
