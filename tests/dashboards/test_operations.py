"""The operations view: what a person on duty sees, follows to its evidence, and acknowledges."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.i18n import TABLE
from service.client import TriviumClient
from service.operations.rules import read_rules
from service.operations.signals import SIGNALS
from tests.dashboards.conftest import Api, field, open_page, press, texts
from tests.dashboards.fake_operations import MOVED, UNEVEN
from tests.dashboards.test_views import AWAY


def open_alarm(api: Api, alarm_id: str) -> AppTest:
    return open_page("operations", api, query={"alarm": alarm_id})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_opens_in_both_languages_and_says_what_needs_a_person(api: Api, language: str) -> None:
    page = open_page("operations", api, language=language)

    said = page.warning[0].value
    assert ("Alarms on: 2" if language == "en" else "告警中：2") in said
    assert len(page.metric) == 5 * 3 + 6


def test_an_empty_installation_says_when_the_first_look_comes(empty_api: Api) -> None:
    page = open_page("operations", empty_api)

    assert "No alarm is on" in page.success[0].value
    assert "The first comes 600 seconds after the start" in texts(page)


def test_a_service_that_is_away_is_said_calmly() -> None:
    assert "cannot be reached" in open_page("operations", AWAY).warning[0].value


@pytest.mark.parametrize(
    ("tab", "language", "said"),
    [
        ("drift", "en", "moved"),
        ("drift", "zh", "漂移"),
        ("alarms", "zh", "错误过多"),
        ("experts", "zh", "琥珀色更空闲"),
    ],
)
def test_a_tab_shows_its_part(api: Api, tab: str, language: str, said: str) -> None:
    page = open_page("operations", api, language=language, tab=tab)

    assert said in texts(page)
    assert len(page.dataframe) == (tab == "experts")


def test_a_deep_link_opens_an_alarm_with_what_the_service_did(api: Api) -> None:
    said = texts(open_alarm(api, UNEVEN))

    assert "Experts are used unevenly" in said
    assert "bias rebalancing is on: 4 layers changed" in said
    assert "As it was when the alarm went on" in said


def test_a_link_to_an_alarm_that_is_gone_is_said(api: Api) -> None:
    assert "no such alarm" in open_alarm(api, "ffffffffffffffff").warning[0].value


def test_a_person_acknowledges_with_a_reason(own_api: Api) -> None:
    page = open_alarm(own_api, MOVED)
    page = press(page, "Acknowledge")
    assert "`person`" in page.warning[0].value

    field(page.text_input, "Your name").set_value("Ana")
    field(page.text_area, "Why it may stay as it is").set_value("A campaign for students")
    page = press(page, "Acknowledge")

    assert "Ana" in page.success[0].value
    found = TriviumClient(own_api.url, own_api.key).operations(f"alarms/{MOVED}")
    assert (found["acknowledged_by"], found["acknowledged_reason"]) == ("Ana", "A campaign for students")


def test_every_shipped_rule_and_signal_has_a_name_in_both_languages() -> None:
    names = [f"operations.rule.{rule.name}" for rule in read_rules(None, signals=tuple(SIGNALS))]
    names += [f"operations.signal.{name}" for name in SIGNALS]

    assert [name for name in names if name not in TABLE] == []
