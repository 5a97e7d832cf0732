"""A customer who writes Chinese reads the fixed sentences in Chinese; nothing else is changed."""

from __future__ import annotations

import re

import pytest

from verticals.support import agent, handoffs, listening, policy, session_nodes
from verticals.support.conversation import OFFER
from verticals.support.phrases import chinese_table, for_customer, writes_chinese

FIXED = [
    *agent.REPLIES.values(),
    *(agent.HAND_OVER, agent.DECLINE, agent.OUT_OF_SCOPE, OFFER),
    *(session_nodes.SUBMITTED, session_nodes.UNANSWERED, session_nodes.FAILED),
    *(policy.LEFT, *policy.QUESTIONS.values(), f"I can {{words}}. {policy.CONFIRM}"),
    *listening.ACKNOWLEDGEMENTS.values(),
    *(handoffs.HANDED_OFF, handoffs.JOINED, handoffs.RETURNED, handoffs.ENDED),
]


@pytest.mark.parametrize("sentence", FIXED)
def test_every_fixed_sentence_is_in_the_table_with_the_same_names(sentence: str) -> None:
    assert set(re.findall(r"{\w+}", chinese_table()[sentence])) == set(re.findall(r"{\w+}", sentence))


@pytest.mark.parametrize(
    ("said", "chinese"),
    [
        (["你好"], True),
        (["退货运费多少", "MP-10001"], True),
        (["退货运费多少", "ok"], True),
        (["我的 order 在哪里"], True),
        (["退货运费多少", "English please"], False),
        (["How long is the warranty?"], False),
        ([], False),
    ],
)
def test_the_latest_message_that_tells_a_language_decides(said: list[str], chinese: bool) -> None:
    assert writes_chinese(said) == chinese


def test_names_and_words_are_kept_and_what_is_not_fixed_stays() -> None:
    text = "Delivery costs $5.95. [1]\n\nI can cancel order MP-10001. Shall I do this? Please answer yes or no."

    translated = for_customer(text, ["运费多少"])

    assert translated == (
        "Delivery costs $5.95. [1]\n\n我可以办理：cancel order MP-10001。要这样做吗？请回答“是”或“否”。"
    )
    assert for_customer(text, ["How much is it?"]) == text
