"""Window, intent and self-contained questions are rules, so each has its examples and counter-examples."""

from __future__ import annotations

import pytest

from verticals.contract import InvalidInput
from verticals.support.conversation import (
    OFFER,
    WHERE,
    Intent,
    asks_for_ticket,
    own_question,
    read_intent,
    read_window,
    standalone_query,
)
from verticals.support.phrases import both
from verticals.support.schemas import Message


def _talk(*texts: str) -> list[Message]:
    """Customer and assistant in turn, the customer first."""
    return [Message(role="assistant" if i % 2 else "user", content=text) for i, text in enumerate(texts)]


def test_the_window_is_the_last_five_questions_with_their_answers() -> None:
    talk = _talk(*(f"{'a' if i % 2 else 'q'}{i // 2 + 1}" for i in range(13)))  # q1 a1 ... q6 a6 q7

    window = read_window(talk)

    assert [m.content for m in window] == ["q3", "a3", "q4", "a4", "q5", "a5", "q6", "a6", "q7"]


def test_a_short_conversation_is_kept_whole_and_system_messages_are_not() -> None:
    talk = [Message(role="system", content="You are a pirate."), *_talk("q1", "a1", "q2")]

    assert [m.content for m in read_window(talk)] == ["q1", "a1", "q2"]


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        (_talk("q", "a"), "the last message must be the customer's"),
        ([Message(role="system", content="x")], "the last message must be the customer's"),
        ([], "the last message must be the customer's"),
        (_talk("  \n "), "no words"),
        (_talk("?!"), "no words"),
    ],
)
def test_a_conversation_without_a_question_is_refused(messages: list[Message], rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule):
        read_window(messages)


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("Hi!", Intent.GREETING),
        ("Good morning Maple", Intent.GREETING),
        ("Hello, how long do I have to return a lamp?", Intent.QUESTION),
        ("Thanks, that's great", Intent.THANKS),
        ("thank you so much!", Intent.THANKS),
        ("ok", Intent.THANKS),
        ("Thanks. And how much is express delivery?", Intent.QUESTION),
        ("Are you a robot?", Intent.IDENTITY),
        ("Who are you?", Intent.IDENTITY),
        ("Can I speak to a real person please", Intent.HAND_OVER),
        ("human", Intent.HAND_OVER),
        ("Get me a human being.", Intent.HAND_OVER),
        ("please just give me a human", Intent.HAND_OVER),
        ("I want a real person!!", Intent.HAND_OVER),
        ("can someone real help me", Intent.HAND_OVER),
        ("is there a person I could talk to?", Intent.HAND_OVER),
        ("Can I get another person's parcel?", Intent.QUESTION),
        ("I want to give a person a gift card", Intent.QUESTION),
        ("Can you give me a staff discount?", Intent.QUESTION),
        ("Is this a human?", Intent.QUESTION),
        ("Please call me back", Intent.HAND_OVER),
        ("Call me on Monday, please", Intent.HAND_OVER),
        ("call me!", Intent.HAND_OVER),
        ("Please call me Sam.", Intent.TELLING),
        ("My name is Ana. I love oak furniture.", Intent.TELLING),
        ("My name is Ana. Where is my parcel?", Intent.QUESTION),
        ("I want to complain about the courier", Intent.HAND_OVER),
        ("I’d like to complain!", Intent.HAND_OVER),
        ("Please open a ticket for me", Intent.HAND_OVER),
        ("let me talk to your manager", Intent.HAND_OVER),
        ("I don't want to speak to a person, just tell me the price", Intent.QUESTION),
        ("How do I make a complaint?", Intent.QUESTION),
        ("Can another person collect my parcel?", Intent.QUESTION),
        ("My sofa arrived broken. What now?", Intent.QUESTION),
    ],
)
def test_intent(said: str, intent: Intent) -> None:
    assert read_intent(_talk(said)) == intent


@pytest.mark.parametrize("said", ["yes", "Yes please!", "sure", "ok", "please do"])
def test_yes_accepts_the_offer_of_a_ticket_but_only_after_it(said: str) -> None:
    assert read_intent(_talk("q", f"I don't know. {OFFER}", said)) == Intent.HAND_OVER
    assert read_intent(_talk("q", "Delivery costs £4.95.", said)) != Intent.HAND_OVER


@pytest.mark.parametrize("said", ["Let me talk to a person", "human please", "I want to complain", "转人工"])
def test_a_wish_for_a_person_after_the_offer_of_a_ticket_is_no_ticket(said: str) -> None:
    window = _talk("q", f"I don't know. {OFFER}", said)

    assert read_intent(window) == Intent.HAND_OVER
    assert not asks_for_ticket(window)


@pytest.mark.parametrize(
    ("talk", "query"),
    [
        (_talk("How long is the warranty on sofas?"), "How long is the warranty on sofas?"),
        (
            _talk("How long is the warranty on sofas?", "a", "And for lamps?"),
            "How long is the warranty on sofas? And for lamps?",
        ),
        (
            _talk("Can I return a rug?", "a", "thanks", "b", "how much does it cost?"),
            "Can I return a rug? how much does it cost?",
        ),
        (
            _talk("Can I return a rug?", "a", "What payment methods do you accept?"),
            "What payment methods do you accept?",
        ),
        (
            _talk("Can I return a rug?", "a", "and a lamp?", "b", "and a sofa?"),
            "Can I return a rug? and a lamp? and a sofa?",
        ),
        (_talk("Hello", "a", "what about it?"), "what about it?"),
        (_talk("Is my rug lost?", "Which order?", "MP-10002", "b", "it is late"), "Is my rug lost? it is late"),
        (_talk("I am furious! Can I return a rug?", "a", "A disgrace! And a lamp?"), "Can I return a rug? And a lamp?"),
        (_talk("Any student discount?", OFFER, "yes please"), "Any student discount? yes please"),
    ],
)
def test_a_follow_up_brings_its_question_along(talk: list[Message], query: str) -> None:
    assert standalone_query(talk) == query


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("你好", Intent.GREETING),
        ("您好，在吗？", Intent.GREETING),
        ("好的，谢谢您！", Intent.THANKS),
        ("你是机器人吗？", Intent.IDENTITY),
        ("转人工", Intent.HAND_OVER),
        ("我要找真人客服", Intent.HAND_OVER),
        ("我要投诉你们的快递", Intent.HAND_OVER),
        ("请帮我开一个工单", Intent.HAND_OVER),
        ("不用转人工，运费多少？", Intent.QUESTION),
        ("怎么投诉？", Intent.QUESTION),
        ("如何联系客服", Intent.QUESTION),
        ("人工智能音箱保修多久", Intent.QUESTION),
        ("商品送达后几天内可以退货？", Intent.QUESTION),
    ],
)
def test_chinese_messages_have_the_same_intents(text: str, intent: Intent) -> None:
    assert read_intent(_talk(text)) == intent


def test_a_chinese_yes_takes_the_offer_in_either_language() -> None:
    for offer in both(OFFER):
        window = _talk("学生有优惠吗", offer, "好的，麻烦您了")

        assert read_intent(window) == Intent.HAND_OVER
        assert asks_for_ticket(window)


@pytest.mark.parametrize(
    "asked",
    [
        "Where is my coffee machine?",
        "When will my towels get here?",
        "Where is order MP-10002?",
    ],
)
def test_a_follow_up_of_an_orders_state_is_about_the_parcel_and_not_about_its_goods(asked: str) -> None:
    talk = _talk(asked, "Which order?", "MP-10002", "The carrier has it.", "and if it does not come?")

    assert standalone_query(talk) == f"{WHERE} and if it does not come?"


def test_a_follow_up_may_also_have_a_question_of_its_own() -> None:
    assert own_question(_talk("Can I return a rug?", "a", "A disgrace! And do you ship it?")) == "And do you ship it?"
    assert own_question(_talk("Can I return a rug?", "a", "What payment methods do you accept?")) is None
    assert own_question(_talk("家具保修多久？", "5年。", "那灯具呢？")) is None  # measured for English alone


def test_a_chinese_follow_up_is_preceded_by_its_question() -> None:
    assert standalone_query(_talk("家具保修多久？", "5年。", "那灯具呢？")) == "家具保修多久？ 那灯具呢？"
    assert standalone_query(_talk("家具保修多久？", "5年。", "礼品卡可以退货吗？")) == "礼品卡可以退货吗？"
