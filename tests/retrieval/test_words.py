"""English is left as it was; Chinese is cut into dictionary words."""

from __future__ import annotations

import bm25s
import pytest
import Stemmer
from hypothesis import example, given
from hypothesis import strategies as st

from retrieval.words import english_words, tokenize


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Lo"]), max_size=60), max_size=4))
def test_a_text_without_chinese_signs_gives_the_english_words(texts: list[str]) -> None:
    assert tokenize(texts) == english_words(texts)


@given(st.lists(st.text(max_size=60), max_size=4))
@example(["The REFUNDS of İstanbul weren't delivered_twice", "", "a of"])
def test_english_words_are_those_of_bm25s(texts: list[str]) -> None:
    theirs = bm25s.tokenize(
        texts, stopwords="en_plus", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )

    assert english_words(texts) == theirs


def test_english_words_are_stemmed_lower_case_and_without_stop_words() -> None:
    assert tokenize(["The REFUNDS were delivered in ２ days"]) == [["refund", "deliv", "day"]]


def test_chinese_is_cut_into_words_the_words_inside_them_and_signs() -> None:
    assert tokenize(["净化器滤网"]) == [["净化", "化器", "净化器", "滤网", "净", "化", "器", "滤", "网"]]


def test_another_word_for_the_same_thing_shares_a_sign() -> None:
    assert set(tokenize(["货到了"])[0]) & set(tokenize(["到货"])[0]) == {"货", "到"}


def test_words_of_grammar_are_left_out_and_single_signs_that_name_things_stay() -> None:
    assert tokenize(["我的灯怎么退？"]) == [["灯", "退"]]


def test_mixed_text_gives_the_words_of_both_and_full_width_signs_are_folded() -> None:
    assert tokenize(["Pine Air ２００滤芯 returns", "Returns"]) == [
        ["滤芯", "滤", "芯", "pine", "air", "200", "return"],
        ["return"],
    ]


@pytest.mark.parametrize("text", ["", "的", "！？", "\0", "𠮷"])
def test_a_text_without_words_has_none(text: str) -> None:
    assert tokenize([text]) == [[]]
