"""Chinese sentences are checked as English ones are: numbers, negation, limits, conditions; refusals matter most."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retrieval import chinese
from retrieval.documents import Hit
from retrieval.grounding import Evidence, choose_evidence, content_stems, find_support, quantities, stream_sentences
from retrieval.sentences import split_sentences

POLICY = [
    Evidence("定制家具和已拆封的床垫不能退货，除非有质量问题。", 0),
    Evidence("大多数商品自送达之日起30天内可以退货。", 0, "退货政策"),
    Evidence("订单满49美元免运费。", 1, "配送费用"),
    Evidence("加急配送收费14.95美元，需要三至五个工作日。", 1, "配送费用"),
    Evidence("退货时您无需说明理由。", 0, "退货政策"),
    Evidence("枕头和被子只有未拆封时才能退。", 0, "退货政策"),
]


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        ("大多数商品自送达之日起30天内可以退货。", 1),
        ("商品送达之日起三十天内可以退货", 1),
        ("已拆封的床垫不可退货，除非有质量问题。", 0),
        ("订单满49美元可免运费。", 2),
        ("加急配送需要3到5个工作日，收费14.95美元。", 3),
        ("退货无须说明理由。", 4),
        ("枕头和被子仅未拆封时才能退。", 5),
    ],
)
def test_what_the_evidence_says_is_supported(sentence: str, source: int) -> None:
    assert find_support(sentence, POLICY) == POLICY[source]


@pytest.mark.parametrize(
    "sentence",
    [
        "大多数商品自送达之日起60天内可以退货。",  # another number
        "大多数商品自送达之日起30个工作日内可以退货。",  # another unit
        "大多数商品自送达之日起30天后可以退货。",  # the limit is turned around
        "大多数商品自送达之日起30天可以退货。",  # the limit is gone
        "所有商品自送达之日起30天内可以退货。",  # a wider rule
        "大多数商品自送达之日起30天内不能退货。",  # a negation is new
        "已拆封的床垫可以退货，除非有质量问题。",  # the negation is gone
        "已拆封的床垫不能退货。",  # the condition is gone
        "订单不足49美元免运费。",  # the limit is turned around
        "订单免运费。",  # the limit is gone
        "退货时您不能说明理由。",  # "no need" is not "may not"
        "枕头和被子未拆封时才能退。",  # "only" is gone
        "大多数商品自送达之日起30天内可以乘火箭去月球退货。",  # new matter
        "配送费用。",  # a fragment
        "好的。",
    ],
)
def test_what_the_evidence_does_not_say_is_refused(sentence: str) -> None:
    assert find_support(sentence, POLICY) is None


def test_amounts_are_read_with_their_units_in_signs_and_digits() -> None:
    text = "七天、三十天内、两周、一百二十元、6.95美元、百分之十五、２０％、三至五个工作日、半年、统一、一样、48州"

    assert quantities(text) == {
        *(("7", "day"), ("30", "day"), ("2", "week"), ("120", "¥"), ("6.95", "$"), ("15", "%"), ("20", "%")),
        *(("3", "working day"), ("5", "working day"), ("0.5", "year"), ("48", "")),
    }


def test_amounts_of_two_languages_are_the_same() -> None:
    assert quantities("thirty days, $6.95, 3 to 5 business days") == quantities("三十天，6.95美元，3至5个工作日")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("不超过30天", {"most"}),
        ("至少提前24小时", {"least"}),
        ("除非另有说明，仅限会员", {"unless", "only"}),
        ("如果超过60分钟，之后无法修改", {"if", "over", "after"}),
        ("发货前，一周以内", {"before", "within"}),
        ("国内一只前台售后满意如何", set()),
    ],
)
def test_limits_are_named_as_in_english(text: str, names: set[str]) -> None:
    assert chinese.limits(text) == names


def test_a_negation_is_known_by_what_it_denies() -> None:
    assert chinese.negated("不可退货") == chinese.negated("不能退") == {"not 退"}
    assert chinese.negated("无需退货") == {"needless 退"}
    assert chinese.negated("不锈钢，不仅如此，非常好，不超过3天") == set()


def test_numbers_limits_and_grammar_carry_no_content() -> None:
    assert set(content_stems("您不能在30天之后退货")) == {"退货", "退", "货"}


def test_sentences_end_at_chinese_marks_and_keep_their_closing_quotes() -> None:
    passage = "请勿打开链接。“是真的吗？”请转发；我们会回复！客服在9:00上班。Call us. 谢谢"

    sentences = split_sentences(passage)

    expected = ["请勿打开链接。", "“是真的吗？”", "请转发；", "我们会回复！", "客服在9:00上班。", "Call us.", "谢谢"]
    assert [sentence.text for sentence in sentences] == expected
    assert [passage[s.start : s.end] for s in sentences] == expected
    assert list(stream_sentences(iter(passage))) == expected


def test_lists_and_tables_are_sentences_of_their_language() -> None:
    passage = "以下商品不能退货：\n- 礼品卡\n- 食品、茶和咖啡。\n\n| 商品 | 保修期 |\n|---|---|\n| 家具 | 5年 |"

    texts = [sentence.text for sentence in split_sentences(passage)]

    assert texts == ["以下商品不能退货：礼品卡；食品、茶和咖啡。", "商品：家具；保修期：5年。"]


def test_shared_words_choose_the_neighbours_of_a_chinese_question() -> None:
    hit = Hit("p", "d", "退货", "", "送货上门。运费6.95美元。退款三天到账。店铺周日休息。", 1.0, 0.5)

    chosen = choose_evidence("退款多久到账", [replace(hit, doc_id="d")], length=1)

    assert [evidence.text for evidence in chosen] == ["退款三天到账。"]
