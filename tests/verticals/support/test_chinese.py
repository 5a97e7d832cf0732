"""A customer who writes Chinese gets cited answers from Chinese articles, and the fixed sentences in Chinese."""

from __future__ import annotations

from retrieval.grounding import choose_evidence
from tests.verticals.support.fakes import ScriptedModel, hit
from tests.verticals.support.world import ADA, World, text_of
from verticals.support import schemas as s
from verticals.support.agent import DECLINE, REPLIES
from verticals.support.answering import Draft, write_answer
from verticals.support.conversation import Intent
from verticals.support.handoffs import HANDED_OFF, JOINED
from verticals.support.listening import ACKNOWLEDGEMENTS
from verticals.support.phrases import chinese_table
from verticals.support.schemas import Tone

ARTICLE = "大多数商品自送达之日起30天内可以退货。退货运单费6.95美元，从退款中扣除；商品有问题时运单免费。"


def _world(world: World, similarity: float = 0.9) -> World:
    world.knowledge.hits = [hit(ARTICLE, title="退货政策", similarity=similarity)]
    return world


def test_a_question_is_answered_with_quotations_and_their_places(world: World) -> None:
    events = _world(world).say(world.begin(), "退货运费是多少？")

    assert text_of(events) == (
        "大多数商品自送达之日起30天内可以退货。 [1] 退货运单费6.95美元，从退款中扣除。 [1] 商品有问题时运单免费。 [1]"
    )
    places = [ARTICLE[event.start : event.end] for event in events if event.type == "citation"]
    assert places == [
        "大多数商品自送达之日起30天内可以退货。",
        "退货运单费6.95美元，从退款中扣除；",
        "商品有问题时运单免费。",
    ]


def test_a_drafted_sentence_counts_only_if_the_article_says_it(world: World) -> None:
    world.model = ScriptedModel(script="好的，商品送达之日起三十天内可以退货。退货运单费9.95美元，从退款中扣除。")
    world.model_version = "large-fake"
    world.restart()

    events = _world(world).say(world.begin(), "几天内可以退货？")

    said = text_of(events)
    assert said.startswith("商品送达之日起三十天内可以退货。 [1]")
    assert "9.95" not in said
    assert "退货运单费6.95美元" in said  # quoted instead


def test_greeting_decline_and_hand_over_are_in_chinese(world: World) -> None:
    chinese, session = chinese_table(), _world(world, similarity=0.1).begin()

    assert text_of(world.say(session, "你好！")) == chinese[REPLIES[Intent.GREETING]]
    declined = world.say(session, "学生有优惠吗？")
    assert text_of(declined) == chinese[DECLINE]
    assert not declined[-1].answered
    assert text_of(world.say(world.begin(), "转人工")) == chinese[HANDED_OFF]


def test_a_feeling_gets_one_word_in_chinese(world: World) -> None:
    session = _world(world).begin()
    upset = chinese_table()[ACKNOWLEDGEMENTS[Tone.ANGRY]]

    first = text_of(world.say(session, "太过分了，我很生气！几天内可以退货？"))
    second = text_of(world.say(session, "我还是很生气！退货运费是多少？"))

    assert first.startswith(upset)
    assert upset not in second


def test_a_disappointment_gets_a_word_too(world: World) -> None:
    said = text_of(_world(world).say(world.begin(), "我很失望。几天内可以退货？"))

    assert said.startswith(chinese_table()[ACKNOWLEDGEMENTS[Tone.FRUSTRATED]])


def test_a_taken_offer_opens_a_ticket_and_a_colleague_joins_in_chinese(world: World) -> None:
    session = _world(world, similarity=0.1).begin()

    ticket = world.say(session, "学生有优惠吗？", "好的")
    world.say(session, "转人工")
    (handoff,) = world.call("list_handoffs", s.ListHandoffsRequest()).handoffs
    world.call("take_over", s.TakeOverRequest(handoff_id=handoff.handoff_id))

    assert "ticket" in [event.type for event in ticket]
    assert world.history(session, ADA).messages[-1].content == chinese_table()[JOINED]


def test_an_unfinished_chinese_draft_ends_in_a_chinese_stop() -> None:
    evidence = choose_evidence("退货", [hit(ARTICLE, title="退货政策")])
    model = ScriptedModel(script="大多数商品自送达之日起30天内可以退货")

    first = next(write_answer(model, "几天内可以退货", evidence, draft=Draft()))

    assert (first.text, first.quoted) == ("大多数商品自送达之日起30天内可以退货。", False)
