"""The support console against the real HTTP layer over made-up handlers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.i18n import Labels
from dashboards.views.support_knowledge import highlighted, query_words
from dashboards.views.support_parts import citations, cited, escaped
from tests.dashboards.conftest import Api, field, open_page, press, run, texts
from tests.dashboards.fake_support import ANSWER
from verticals.support.schemas.chat import AnyEvent

LAMP = "How long do I have to return a lamp?"


def _open(part: str, api: Api) -> AppTest:
    page = open_page("support", api)
    page.session_state["support.part"] = part
    return run(page)


def _say(page: AppTest, text: str) -> AppTest:
    page.chat_input[0].set_value(text)
    return run(page)


def test_an_answer_cites_the_sources_beside_it(api: Api) -> None:
    page = press(open_page("support", api), LAMP)

    assert cited(ANSWER) in [one.value.strip() for one in page.markdown]
    assert ":primary-badge[1] **Returns** — Return period" in texts(page)
    assert "found, not cited" in texts(page)


def test_the_trace_lists_what_happened_in_order(api: Api) -> None:
    said = texts(press(open_page("support", api), LAMP))

    assert said.index("Sources: returns#0") < said.index("First text") < said.index("Last text") < said.index("Done:")


def test_a_question_without_an_answer_is_marked(api: Api) -> None:
    assert "Not in the knowledge base" in texts(_say(open_page("support", api), "Who wins the cup?"))


def test_a_failed_answer_is_said_calmly(api: Api) -> None:
    page = _say(open_page("support", api), "Please break")

    assert "the model is not loaded" in page.warning[0].value


def test_a_person_is_waited_for_and_writes_into_the_chat(own_api: Api) -> None:
    chat = _say(open_page("support", own_api), "I want to speak to a person")
    assert "Waiting for a person" in texts(chat)

    desk = _open("desk", own_api)
    field(desk.radio, "Hand-offs").set_value("H-2")
    desk = press(run(desk), "Take over")
    field(desk.text_area, "Reply as a person").input("Hello, this is Sam.")
    desk = press(desk, "Send")
    assert "Hello, this is Sam." in texts(desk)
    chat = run(chat)
    assert "A person has the session" in texts(chat)
    assert "Hello, this is Sam." in texts(chat)

    press(desk, "Hand back to the assistant")
    assert "The assistant answers" in texts(run(chat))


def test_a_new_conversation_leaves_the_old_one(api: Api) -> None:
    page = press(press(open_page("support", api), LAMP), "New conversation")

    assert "support.session" not in page.session_state


def test_a_closed_session_takes_no_more_messages(api: Api) -> None:
    page = press(press(open_page("support", api), LAMP), "Close the session")

    assert page.chat_input[0].disabled


def test_a_customers_memory_is_shown_and_forgotten(own_api: Api) -> None:
    page = open_page("support", own_api)
    field(page.selectbox, "Who speaks").set_value("C-1001")
    page = run(page)
    assert "**name** Ada" in texts(page)

    page.button(key="support.forgotten.m-1").click()
    page = run(page)
    assert "**name** Ada" not in texts(page)
    assert "**lamp** Aspen" in texts(page)


def test_a_ticket_is_made_from_the_conversation(own_api: Api) -> None:
    page = press(press(open_page("support", own_api), LAMP), "Create a ticket")

    assert "T-000007" in texts(page)


def test_an_approval_says_the_figures_and_is_decided(own_api: Api) -> None:
    page = _open("desk", own_api)
    assert r"Refund \$48.00 for the Aspen table lamp" in texts(page)

    assert "Nothing waits for approval" in texts(press(page, "Approve"))


def test_a_ticket_is_corrected(own_api: Api) -> None:
    page = _open("desk", own_api)
    field(page.text_input, "Subject").input("A better subject")

    assert "**A better subject**" in texts(press(page, "Save"))


def test_in_another_language_the_same_customer_speaks(api: Api) -> None:
    page = open_page("support", api)
    field(page.selectbox, "Who speaks").set_value("C-1002")
    page = run(page)

    assert page.kwargs is not None
    page.kwargs["language"] = "zh"
    who = field(run(page).selectbox, "发言者")
    assert (who.value, who.options[0]) == ("C-1002", "未知访客")


def test_a_query_shows_which_words_match(api: Api) -> None:
    page = _open("knowledge", api)
    field(page.text_input, "Search the knowledge base").input("refund of parcels")
    said = texts(run(page))

    assert ":orange-background[refund]" in said
    assert "words found: refund, parcels (2 of 2)" in said


def test_an_article_with_a_bad_id_is_refused_with_field_and_rule(api: Api) -> None:
    page = _open("knowledge", api)
    field(page.text_input, "Id").input("not an id!")
    field(page.text_input, "Title").input("Gift cards")
    field(page.text_area, "Text (Markdown)").input("They never expire.")

    assert "doc_id" in press(page, "Add").warning[0].value


def test_quality_lists_disliked_answers_first(api: Api) -> None:
    said = texts(_open("quality", api))

    assert "Resolved without a person" in said
    assert "What does shipping cost?" in said


def test_citations_become_badges_and_prices_stay_prices() -> None:
    assert citations("Yes [1], no [12]. [x] [] [1]") == {1, 12}
    assert cited("It costs $5 [2].") == r"It costs \$5 :primary-badge[2]."


def test_stored_text_loads_no_picture_and_no_tag() -> None:
    assert escaped('![x](http://a/b.png) <img src="c">') == r'!\[x](http://a/b.png) \<img src="c">'


def test_query_words_are_marked_in_both_languages() -> None:
    assert query_words("How do I return lamps?") == ["return", "lamps"]
    assert highlighted("A lamp.", ["lamps"]) == "A :orange-background[lamp]."
    assert highlighted("退货期限", query_words("怎么退货")) == ":orange-background[退货]期限"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_event_of_an_answer_has_its_name_in_the_trace(language: str) -> None:
    kinds = {get_args(event.model_fields["type"].annotation)[0] for event in get_args(AnyEvent)}

    assert kinds >= {"delta", "done"}
    for kind in kinds - {"delta"}:  # shown as first and last text
        Labels(language)(f"event.{kind}")


def test_what_was_understood_stands_beside_the_chat(own_api: Api) -> None:
    said = texts(_say(open_page("support", own_api), "I am furious, my lamp of order MP-10001 arrived damaged!"))

    assert "angry" in said
    assert "damaged or wrong item · 91%" in said
    assert "Refund or cancellation · number" in said
    assert "Understood: damaged or wrong item, angry, order_id=MP-10001" in said


def test_a_message_that_no_model_read_says_so(own_api: Api) -> None:
    assert "No model read this message" in texts(_say(open_page("support", own_api), "Where is MP-10001?"))


def test_a_hand_off_says_how_urgent_it_is_and_what_was_tried(api: Api) -> None:
    said = texts(_open("desk", api))

    assert "What was tried" in said
    assert "answered from: Damaged on arrival" in said
    assert "High" in said


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_shops_own_words_have_labels(language: str) -> None:
    labels = Labels(language)
    shop = json.loads(Path("verticals/support/state/shop.json").read_text("utf-8"))
    lines = Path("verticals/support/understanding/utterances.jsonl").read_text("utf-8").splitlines()[1:]
    card = json.loads(Path("verticals/support/understanding/emotion/card.json").read_text("utf-8"))

    for intent in {json.loads(line)["intent"] for line in lines} - {"out_of_scope"}:
        labels(f"intent.{intent}")
    for service in shop:
        labels(f"service.{service['name']}")
        for slot in service["slots"]:
            labels(f"slot.{slot['name']}")
    for emotion in card["labels"]:
        labels(f"emotion.{emotion}")
