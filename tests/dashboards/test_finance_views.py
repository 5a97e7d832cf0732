"""The finance page over made-up handlers: what an analyst sees in each tab and what his clicks change."""

from __future__ import annotations

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboards.charts import Step
from dashboards.i18n import Labels
from dashboards.views.finance import waterfall_steps
from tests.dashboards import fake_finance, fake_strategy
from tests.dashboards.conftest import Api, field, open_page, press, run, texts
from verticals.finance import VERTICAL
from verticals.finance.policy_schemas import SimulateRequest
from verticals.finance.reasons import PROFILE
from verticals.finance.schemas import ScoreRequest

WORDS = Labels("en")("text.words")


def test_an_example_fills_the_form_and_is_scored(api: Api) -> None:
    page = press(press(open_page("finance", api), "Strained"), "Score")

    expected = fake_finance.score(ScoreRequest.model_validate(VERTICAL.operations[0].examples["strained"]))
    assert field(page.metric, "Score").value == str(expected.points)
    assert field(page.metric, "Probability of default").value == f"{expected.prob_default:.1%}"
    assert "Decline" in texts(page)
    for reason in expected.reasons:
        assert reason.text in texts(page)


def test_every_model_in_shadow_says_its_probability(api: Api) -> None:
    page = press(press(open_page("finance", api), "Strained"), "Score")

    expected = fake_finance.score(ScoreRequest.model_validate(VERTICAL.operations[0].examples["strained"]))
    assert field(page.metric, "MoE says").value == f"{expected.challengers[0].prob_default:.1%}"


def test_an_unknown_field_is_referred_with_its_reason(api: Api) -> None:
    page = open_page("finance", api)
    field(page.selectbox, "Savings").select("")
    page = press(page, "Score")

    assert "Refer to a person" in texts(page)
    assert "Savings is not known." in texts(page)


def test_a_bad_reference_is_refused_with_field_and_rule(api: Api) -> None:
    page = open_page("finance", api)
    field(page.text_input, "Reference").input("Jane Doe")
    page = press(page, "Score")

    assert "`application_id`" in page.warning[0].value
    assert not [metric for metric in page.metric if metric.label == "Score"]


def test_another_language_keeps_what_was_chosen(api: Api) -> None:
    page = press(open_page("finance", api), "Strained")
    field(page.selectbox, "Savings").select("1000_dm_or_more")
    field(page.number_input, "Term (months)").set_value(33)
    field(page.text_input, "Reference").input("kept-1")
    page = in_chinese(run(page))

    assert field(page.selectbox, "储蓄").value == "1000_dm_or_more"
    assert field(page.selectbox, Labels("zh")("field.purpose")).value == "car_new"
    assert field(page.number_input, Labels("zh")("field.duration_months")).value == 33
    assert field(page.text_input, Labels("zh")("field.application_id")).value == "kept-1"
    page = press(page, Labels("zh")("finance.send"))
    body = dict(VERTICAL.operations[0].examples["strained"])
    expected = fake_finance.score(
        ScoreRequest.model_validate(body | {"savings": "1000_dm_or_more", "duration_months": 33})
    )
    assert field(page.metric, Labels("zh")("finance.score")).value == str(expected.points)


def in_chinese(page: AppTest) -> AppTest:
    """The same page, with the same session, in Chinese."""
    page.session_state["language"] = "zh"
    return run(page)


def test_the_waterfall_leads_from_the_average_to_the_score() -> None:
    score = fake_finance.score(ScoreRequest.model_validate(VERTICAL.operations[0].examples["strained"]))

    steps = waterfall_steps(Labels("en"), score)

    assert steps[0].points + sum(step.points for step in steps[1:-1]) == pytest.approx(steps[-1].points)
    assert steps[1] == Step("Checking account", "Overdrawn (below 0 DM)", -23.6)
    sizes = [abs(step.points) for step in steps[1:-1]]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_customers_sources_stand_in_the_waterfall_with_state_and_bound(language: str) -> None:
    labels = Labels(language)
    body = dict(VERTICAL.operations[0].examples["strained"])
    score = fake_finance.score(ScoreRequest.model_validate(body | {"customer": "sim-7-000000"}))

    steps = waterfall_steps(labels, score)

    assert steps[0].points + sum(step.points for step in steps[1:-1]) == pytest.approx(steps[-1].points)
    assert Step(labels("source.text"), f"{labels('sources.used')}, ±1.5", -0.5 * fake_finance.FACTOR) in steps
    assert Step(labels("source.history"), f"{labels('sources.missing')}, ±2.0", 0.0) in steps


def test_a_named_customer_shows_what_each_source_says_and_that_it_is_synthetic(api: Api) -> None:
    page = press(open_page("finance", api), "Strained")
    field(page.text_input, "Customer").input("sim-7-000000")
    page = press(page, "Score")

    assert "sentence 2 of 3" in texts(page)
    assert "made up" in texts(page)
    assert "simulated outcomes" in texts(page)


def test_a_text_is_filed_for_the_customer_of_the_form_and_told_what_it_adds(api: Api) -> None:
    page = open_page("finance", api)
    field(page.text_input, "Customer").input("sim-7-000000")
    field(page.text_area, WORDS).input("I would like to buy a used car. I lost my job.")
    page = press(page, "File the text")

    assert "Filed for sim-7-000000" in texts(page)
    assert "sentence 2 of 3" in texts(page)


def test_a_text_is_not_filed_without_a_customer(api: Api) -> None:
    page = open_page("finance", api)
    field(page.text_area, WORDS).input("I would like to buy a used car. I lost my job.")

    assert "Name the customer in the form first" in texts(press(page, "File the text"))


@pytest.mark.parametrize("text", ["too short", "我想买一辆二手车，合同三月到期，还不知道能不能续签，请您考虑一下。"])
def test_a_text_that_is_refused_says_field_and_rule(api: Api, text: str) -> None:
    page = open_page("finance", api)
    field(page.text_input, "Customer").input("sim-7-000000")
    field(page.text_area, WORDS).input("I would like to buy a used car. I lost my job.")
    page = press(page, "File the text")
    field(page.text_area, WORDS).input(text)
    page = press(page, "File the text")

    assert "`text`" in page.warning[0].value
    assert "Filed for" not in texts(page)


def test_a_chinese_reader_is_told_in_chinese_why_a_text_is_refused(api: Api) -> None:
    labels = Labels("zh")
    page = open_page("finance", api, language="zh")
    field(page.text_input, labels("field.customer")).input("sim-7-000000")
    field(page.text_area, labels("text.words")).input(
        "我想买一辆二手车，合同三月到期，还不知道能不能续签，请您考虑一下。"
    )
    page = press(page, labels("text.send"))

    assert "必须为英文" in page.warning[0].value


def test_without_a_customer_no_source_is_shown(api: Api) -> None:
    page = press(press(open_page("finance", api), "Strained"), "Score")

    assert "Beside the application" not in texts(page)


def test_a_batch_scores_the_good_rows_and_counts_the_bad(api: Api) -> None:
    good = dict(VERTICAL.operations[0].examples["steady"])
    rows = pd.DataFrame([good, good | {"duration_months": 0}])
    page = open_page("finance", api, tab="batch")
    field(page.file_uploader, "CSV file").set_value(("in.csv", rows.to_csv(index=False).encode(), "text/csv"))
    page = press(page, "Score the file")

    assert field(page.metric, "Rows").value == "2"
    assert field(page.metric, "Bad rows").value == "1"
    assert "Download the result" in [button.label for button in page.download_button]


def test_a_batch_without_a_file_asks_for_one(api: Api) -> None:
    assert "Choose a CSV file first." in texts(press(open_page("finance", api, tab="batch"), "Score the file"))


def test_decisions_are_paged_by_the_service(own_api: Api) -> None:
    def references(table: pd.DataFrame) -> list[str]:
        return list(table["Reference"])

    page = open_page("finance", own_api, tab="decisions")
    first = references(page.dataframe[0].value)
    page.pagination[0].set_value(3)
    last = references(run(page).dataframe[0].value)

    assert (len(first), first[0]) == (50, "app-0119")
    assert (len(last), last[-1]) == (20, "app-0000")


def test_reasons_are_told_in_the_readers_language() -> None:
    told = {code: Labels("en")(f"reason.{code}") for code, _ in PROFILE.texts.values()}

    assert told == dict(PROFILE.texts.values())


def test_an_english_reader_gets_a_reason_in_the_services_own_words(api: Api) -> None:
    page = press(press(open_page("finance", api), "Strained"), "Score")

    for reason in fake_finance.score(ScoreRequest.model_validate(VERTICAL.operations[0].examples["strained"])).reasons:
        assert reason.text in texts(page)
    assert "Term of the credit is too long" not in texts(page)  # the table's words, which lack the unit


def test_another_value_shows_another_score_and_records_nothing(own_api: Api) -> None:
    page = press(press(open_page("finance", own_api), "Strained"), "Score")
    decided = open_page("finance", own_api, tab="decisions").dataframe[0].value["Reference"][0]
    term = next(one for one in page.slider if one.label == "Term (months)")
    term.set_value(12)
    page = run(page)

    example = dict(VERTICAL.operations[0].examples["strained"])
    expected = fake_finance.score(ScoreRequest.model_validate(example | {"duration_months": 12}))
    assert field(page.metric, "Score then").value == str(expected.points)
    assert "Decision then" in texts(page)
    assert "None → Guarantor" in texts(page)
    assert open_page("finance", own_api, tab="decisions").dataframe[0].value["Reference"][0] == decided


def test_moved_cut_offs_show_what_they_would_have_done(api: Api) -> None:
    page = open_page("finance", api, tab="strategy")
    assert "cannot be told apart" in texts(page)
    field(page.slider, "Decline below · approve from").set_range(500, 560)
    page = run(page)

    request = SimulateRequest(approve_at=560, decline_below=500)
    expected = fake_strategy.simulate(request, None)  # type: ignore[arg-type]
    assert field(page.metric, "Approve").value == f"{expected.proposed.shares['approve']:.1%}"
    assert int(page.dataframe[0].value["Applicants"][1]) == expected.swap_out.count > 0
    assert int(page.dataframe[1].value.to_numpy().sum()) == expected.n


def test_cut_offs_become_a_version_and_come_into_force_with_a_reason(own_api: Api) -> None:
    page = open_page("finance", own_api, tab="strategy")
    field(page.slider, "Decline below · approve from").set_range(490, 545)
    page = run(page)
    field(page.text_input, "Name of the version").input("2026-12")
    field(page.text_input, "Source").input("Credit committee, made up for tests")
    page = press(page, "Store")
    assert list(page.dataframe[2].value["State"]) == ["stored", "in force"]

    page = press(page, "Bring into force")
    assert "reason" in page.warning[0].value
    field(page.text_input, "Reason").input("Decided by the committee")
    page = press(page, "Bring into force")

    assert list(page.dataframe[2].value["State"]) == ["in force", "stored"]
    assert field(page.slider, "Decline below · approve from").value == (490, 545)


def test_a_portfolio_shows_months_shift_moves_and_vintages(api: Api) -> None:
    page = open_page("finance", api, tab="portfolio")

    assert field(page.metric, "Decisions").value == "400"
    assert "shifted" in texts(page)
    moves, vintages = (page.dataframe[i].value for i in range(2))
    assert int(moves.to_numpy().sum()) == 10
    assert list(vintages["Month"]) == ["2026-09", "2026-10"]
    assert int(vintages["Outcome known"].sum()) > 0


@pytest.mark.parametrize(("language", "told"), [("en", "Another name"), ("zh", "姓名不符")])
def test_a_document_is_checked_against_what_was_stated(api: Api, language: str, told: str) -> None:
    page = open_page("finance", api, language=language, tab="document")
    labels = Labels(language)
    page.file_uploader[0].set_value(("card.png", b"an image", "image/png"))
    page = press(page, labels("document.send"))
    assert labels("document.nothing") in texts(page)

    page.file_uploader[0].set_value(("card.png", b"an image", "image/png"))
    field(page.text_input, labels("document.name")).input("Erika Muster")
    page = press(page, labels("document.send"))

    assert told in texts(page)
    assert list(page.dataframe[0].value[labels("document.value")]) == ["MUSTER"]


def test_a_history_is_a_timeline_with_features_and_says_that_it_is_synthetic(api: Api) -> None:
    page = open_page("finance", api, tab="history")
    assert "No customer chosen" in texts(page)
    field(page.text_input, "Customer").input("sim-1")
    page = run(page)

    assert "Synthetic" in texts(page)
    assert len(page.dataframe[0].value) == 11
    assert field(page.metric, "Added to the log odds of default").value == "+0.120"
    assert "Days since the last event" in texts(page)


def test_a_customer_without_events_gets_a_hint(api: Api) -> None:
    page = open_page("finance", api, tab="history")
    field(page.text_input, "Customer").input("unheard-of")

    assert "POST /v1/finance/events" in texts(run(page))


def test_a_case_is_decided_once_with_a_reason_that_fits(own_api: Api) -> None:
    page = open_page("finance", own_api, tab="cases")
    assert "Transaction tx-0" in texts(page)
    field(page.radio, "Decision").set_value("genuine")
    page = run(page)
    assert field(page.selectbox, "Reason").options[0] == "The customer confirms it"
    page = press(page, "Decide")

    assert list(page.dataframe[0].value["Subject"]) == ["Transaction tx-1", "Transaction tx-2"]


def test_a_file_of_card_transactions_is_scored_and_its_bad_rows_are_told(api: Api) -> None:
    rows = [
        "transaction_id,at,customer,terminal,amount",
        "a,2026-10-01T12:00:00Z,c,t,20",
        "b,2026-10-01T12:00:00Z,c,t,300",
    ]
    rows += ["c,2026-10-01T12:00:00Z,c,t,-1", "d,yesterday,c,t,1"]
    page = open_page("finance", api, tab="cases")
    page.file_uploader[0].set_value(("cards.csv", "\n".join(rows).encode(), "text/csv"))
    page = press(page, "Score the file")

    figures = [field(page.metric, name).value for name in ("Scored", "Cases", "Refused")]
    assert figures == ["2", "1", "2"]
    assert list(page.dataframe[0].value["Row"]) == [3, 4]
    assert "simulated cards" in texts(page)


def test_a_file_that_is_no_csv_is_refused_calmly(api: Api) -> None:
    page = open_page("finance", api, tab="cases")
    page.file_uploader[0].set_value(("cards.csv", "Müller".encode("utf-16"), "text/csv"))

    assert "no CSV file in UTF-8" in texts(press(page, "Score the file"))


def test_an_empty_queue_says_how_cases_come(empty_api: Api) -> None:
    assert "POST /v1/finance/cases" in texts(open_page("finance", empty_api, tab="cases"))


def test_evidence_is_shown_by_part_with_its_grade(api: Api) -> None:
    page = open_page("finance", api, tab="validation")
    shown = page.dataframe[0].value

    assert list(shown["Figure"]) == ["AUC"]
    assert list(shown["Grade"]) == ["● green"]
    assert "red: 1" in texts(page)
