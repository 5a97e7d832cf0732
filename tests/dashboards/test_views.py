"""Each view against the real HTTP layer over made-up handlers: what a reader sees and what his clicks change."""

from __future__ import annotations

import pytest

from dashboards.i18n import Labels
from dashboards.views.evaluation import alarms, history_points
from dashboards.views.generic import resolve
from tests.dashboards import fake_evals
from tests.dashboards.conftest import Api, field, open_page, press, run, texts

AWAY = Api("http://127.0.0.1:9", "none")
VIEWS = ("finance", "medical", "support", "evaluation")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_view_opens_in_both_languages(api: Api, view: str, language: str) -> None:
    page = open_page(view, api, language=language)

    assert not page.warning
    assert not page.error or view == "evaluation"  # there it lists what got worse


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_installation_says_what_to_do(empty_api: Api, view: str) -> None:
    said = texts(open_page(view, empty_api))

    hints = {
        "finance": "Choose an example",
        "medical": "Upload a DICOM file",
        "support": "Ask as a customer of the shop would",
    }
    assert hints.get(view, "make nightly") in said


@pytest.mark.parametrize("view", VIEWS)
def test_a_service_that_is_away_is_said_calmly(view: str) -> None:
    page = open_page(view, AWAY)
    if view in ("finance", "support"):
        page = press(page, "Score" if view == "finance" else "How long do I have to return a lamp?")

    assert "cannot be reached" in page.warning[0].value
    assert "Traceback" not in texts(page)


def test_a_wrong_key_is_said_calmly(api: Api) -> None:
    assert "Authorization" in open_page("medical", Api(api.url, "tvm_wrong")).warning[0].value


# --- evaluation ------------------------------------------------------------------------------------------------------


def test_what_got_worse_comes_first(api: Api) -> None:
    page = open_page("evaluation", api)

    assert "recall@5" in page.error[0].value
    assert field(page.metric, "Regressed").value == "1"
    assert field(page.metric, "Improved").value == "1"


def test_an_older_run_can_be_chosen(api: Api) -> None:
    page = open_page("evaluation", api)
    field(page.selectbox, "Run").select_index(1)
    page = run(page)

    assert not page.error
    assert "Nothing got worse" in page.success[0].value


def test_a_deep_link_opens_one_suite_of_one_run(api: Api) -> None:
    run_id = fake_evals.reports()[1]["run"]["run_id"]

    page = open_page("evaluation", api, query={"run": run_id, "suite": "support/tickets"})

    assert field(page.selectbox, "Run").value == run_id
    assert field(page.selectbox, "Suite").value == "support/tickets"
    assert "2 of 12 examples" in page.expander[1].label
    assert "talk 4" in texts(page)
    assert "ticket 4 of 4" in texts(page)
    assert "perplexity" not in texts(page)


def test_a_link_to_what_is_not_there_opens_the_newest_run(api: Api) -> None:
    page = open_page("evaluation", api, query={"run": "nothing", "suite": "none/such"})

    assert not page.exception
    assert field(page.selectbox, "Run").value == fake_evals.reports()[0]["run"]["run_id"]


def test_alarms_name_regressions_losses_and_what_is_gone() -> None:
    report = fake_evals.reports()[0]
    report["gone"] = [{"domain": "medical", "suite": "old"}]
    report["domains"][0]["suites"][0]["losses"] = ["failed: out of memory"]

    assert [where for where, _ in alarms(Labels("en"), report)] == [
        "core / perplexity",
        "support / retrieval",
        "medical / old",
    ]


def test_history_holds_every_metric_of_every_run() -> None:
    points = history_points(fake_evals.reports()[0])

    perplexity = points[points["metric"] == "core / perplexity / perplexity"].sort_values("started")
    assert list(perplexity["value"].round(1)) == [21.3, 21.2, 21.1, 21.0, 20.9]


# --- any other vertical ----------------------------------------------------------------------------------------------


def _coins(api: Api) -> dict[str, object]:
    from service.client import TriviumClient

    return next(one for one in TriviumClient(api.url, api.key).verticals() if one["name"] == "coins")


def test_a_fourth_vertical_gets_a_form_and_its_answer(api: Api) -> None:
    page = open_page("generic", api, _coins(api))
    field(page.number_input, "times").set_value(6)
    page = press(page, "Send")

    assert '"heads":3' in page.json[0].value.replace(" ", "")


def test_a_value_that_is_no_json_is_refused_by_the_service(api: Api) -> None:
    page = open_page("generic", api, _coins(api))
    field(page.text_area, "options").input("not json")
    page = press(page, "Send")

    assert "`options`" in page.warning[0].value


def test_optional_and_referenced_properties_are_resolved() -> None:
    schema = {"$defs": {"Side": {"type": "string", "enum": ["left", "right"]}}}
    optional = {"anyOf": [{"$ref": "#/$defs/Side"}, {"type": "null"}], "default": None, "description": "Which."}

    assert resolve(optional, schema) == {
        "type": "string",
        "enum": ["left", "right"],
        "default": None,
        "description": "Which.",
    }
