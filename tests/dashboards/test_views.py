"""Each view against the real HTTP layer over made-up handlers: what a reader sees and what his clicks change."""

from __future__ import annotations

import pytest

from dashboards.views.evaluation import alarms, history_points
from dashboards.views.generic import resolve
from dashboards.views.medical import window_range
from tests.dashboards import fake_evals
from tests.dashboards.conftest import Api, field, open_page, press, run, texts
from verticals.medical.schemas import ImageFacts

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


# --- medical ---------------------------------------------------------------------------------------------------------


def test_a_study_shows_notice_origin_and_that_no_model_was_applied(api: Api) -> None:
    page = open_page("medical", api)
    said = texts(page)

    assert "Research software, not a medical device" in said
    assert "No model available." in said
    assert "Synthetic" in str(page.dataframe[0].value)


def test_a_preset_moves_window_and_level(api: Api) -> None:
    page = press(open_page("medical", api), "Lung")

    assert field(page.slider, "Level (HU)").value == -600
    assert field(page.slider, "Window (HU)").value == 1500


def test_window_sliders_reach_every_value_of_the_image() -> None:
    image = ImageFacts.model_construct(value_min=7.0, value_max=7.0)

    low, high = window_range(image)

    assert low < 7.0 < high


def test_a_report_is_edited_signed_and_added_to(own_api: Api) -> None:
    page = open_page("medical", own_api)
    field(page.text_input, "Name of the signer").input("Dr. A. Reader")
    page = press(page, "Sign")
    assert "reviewed" in page.warning[0].value  # not attested

    for label in ("Findings", "Impression"):
        field(page.text_area, label).input("Nothing remarkable.")
    page = press(page, "Save")
    assert "Version 2" in texts(page)

    field(page.text_input, "Name of the signer").input("Dr. A. Reader")
    field(page.checkbox, "I have reviewed the images and this text.").check()
    page = press(page, "Sign")
    assert "Signed by Dr. A. Reader" in texts(page)
    assert "Save" not in [button.label for button in page.button]

    field(page.text_input, "Author").input("Dr. B")
    field(page.text_area, "Text").input("Discussed with the ward.")
    page = press(page, "Add")
    assert "Discussed with the ward." in texts(page)
    assert "Addendum by Dr. B" in texts(page)


def test_a_report_with_blanks_cannot_be_signed(own_api: Api) -> None:
    page = open_page("medical", own_api)
    field(page.text_input, "Name of the signer").input("Dr. A. Reader")
    field(page.checkbox, "I have reviewed the images and this text.").check()
    page = press(page, "Sign")

    assert "blanks must be filled" in page.warning[0].value
    assert "Draft" in str(page.dataframe[0].value)


def test_a_file_that_is_no_dicom_is_refused_with_the_remedy(own_api: Api) -> None:
    page = open_page("medical", own_api)
    field(page.file_uploader, "DICOM file").set_value(("cat.jpg", b"\xff\xd8\xff", "image/jpeg"))
    page = press(page, "Read the file")

    assert "DICOM Part 10" in page.warning[0].value
    assert r"Send a .dcm file" in page.warning[0].value
    assert len(page.dataframe[0].value) == 3


def test_an_uploaded_study_is_opened(own_api: Api) -> None:
    page = open_page("medical", own_api)
    field(page.file_uploader, "DICOM file").set_value(("a.dcm", b"\0" * 128 + b"DICM", "application/dicom"))
    page = press(page, "Read the file")

    assert len(page.dataframe[0].value) == 4
    assert page.session_state["medical.study"] == "s-4"


def test_each_export_can_be_downloaded(api: Api) -> None:
    assert [button.label for button in open_page("medical", api).download_button] == ["DICOM SR", "PDF", "FHIR", "Text"]


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


def test_alarms_name_regressions_losses_and_what_is_gone() -> None:
    report = fake_evals.reports()[0]
    report["gone"] = [{"domain": "medical", "suite": "old"}]
    report["domains"][0]["suites"][0]["losses"] = ["failed: out of memory"]

    assert [where for where, _ in alarms(report)] == ["core / perplexity", "support / retrieval", "medical / old"]


def test_history_holds_every_metric_of_every_run() -> None:
    points = history_points(fake_evals.reports())

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
