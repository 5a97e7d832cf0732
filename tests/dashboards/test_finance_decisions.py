"""The decisions tab: the record of an application, another decision by a person, and a second person's word."""

from __future__ import annotations

import pytest

from dashboards.i18n import Labels
from tests.dashboards.conftest import Api, field, open_page, press, run, texts
from verticals.finance.manual.reasons import REASONS


def test_the_newest_application_is_shown_with_what_holds(own_api: Api) -> None:
    page = open_page("finance", own_api, tab="decisions")

    assert "app-0119" in texts(page)
    assert "The policy decided" in texts(page)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_person_decides_otherwise_and_the_record_shows_both(own_api: Api, language: str) -> None:
    labels = Labels(language)
    page = open_page("finance", own_api, language=language, tab="decisions")
    decision = field(page.radio, labels("decisions.decision"))
    assert labels("decision.approve") not in decision.options  # it is approved as it is
    field(page.text_area, labels("manual.text")).input("Two unpaid bills were found")
    page = press(page, labels("manual.send"))

    assert labels("manual.in_force") in texts(page)
    assert "Two unpaid bills were found" in texts(page)
    told = REASONS["M04"]  # the first that fits
    assert (told.text_zh if language == "zh" else told.text) in texts(page)


def test_a_decision_that_needs_four_eyes_waits_and_is_confirmed(own_api: Api) -> None:
    page = press(press(open_page("finance", own_api), "Strained"), "Score")
    page = open_page("finance", own_api, tab="decisions")
    field(page.text_area, "What was found").input("Salary slips of three months were seen")
    page = press(page, "Record the decision")
    assert "second person: 1 (" in page.info[0].value
    field(page.text_area, "What was found").input("I saw the same slips")
    page = press(page, "Confirm")

    assert "I saw the same slips" in texts(page)
    assert not page.info


def test_a_reference_that_was_never_scored_is_said(api: Api) -> None:
    page = open_page("finance", api, tab="decisions")
    field(page.text_input, "Reference").input("nobody")

    assert "was never scored here" in run(page).warning[0].value
