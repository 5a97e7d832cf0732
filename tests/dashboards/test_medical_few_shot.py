"""The few-shot studio over made-up handlers: what its figures forbid, what a switch needs, what a study is told."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.charts import LIGHT
from dashboards.i18n import Labels
from dashboards.service_texts import in_chinese
from dashboards.views.medical_few_shot import reading_text
from dashboards.views.medical_few_shot_charts import roc_chart, score_chart
from tests.dashboards.conftest import Api, field, open_page, press, texts
from tests.dashboards.fake_few_shot import NOT_BETTER, NOT_GOOD, figure, version
from verticals.medical.fewshot.schemas import FewShotReading
from verticals.medical.fewshot.validation import refusals
from verticals.medical.schemas import NOTICE

READING = FewShotReading(
    finding="x", version="1" * 12, method="linear probe", prob=0.81, confidence_set=[], share_present=0.5,
    auc=figure(0.84),
)  # fmt: skip


def studio(api: Api, **kwargs: Any) -> Any:
    return open_page("medical", api, tab="few_shot", **kwargs)


def who(page: Any, reason: str = "Looked at forty answers.") -> Any:
    field(page.text_input, "Your name").set_value("Dr. A. Reader")
    field(page.text_input, "Reason").set_value(reason)
    return page


def test_the_methods_stand_side_by_side_with_why_they_may_not_be_enabled(api: Api) -> None:
    said = texts(studio(api))

    assert "0.840" in said
    assert "0.780 – 0.900" in said
    assert "may be enabled" in said
    assert "**Prompt tuning** · Why not: it is not shown to be better than the linear probe" in said
    assert "on 60 images of 58 patients" in said


def test_a_version_is_enabled_taken_out_and_brought_back(own_api: Api) -> None:
    page = press(who(studio(own_api)), "Enable")
    enabled = texts(page)
    page = press(who(page), "Disable")
    page = press(who(page), "Roll back")

    assert "in use" in enabled
    rows = page.dataframe[1].value
    assert list(rows["Step"]) == ["rolled back", "disabled", "enabled"]
    assert list(rows["Version"]) == [f"{1:012x}", "none in use", f"{1:012x}"]
    assert next(button for button in page.button if button.label == "Roll back").disabled


def test_a_reason_that_is_too_short_is_told_by_the_service(own_api: Api) -> None:
    page = press(who(studio(own_api), "so"), "Enable")

    assert "reason" in texts(page)
    assert "none in use" in str([badge.value for badge in page.markdown])


def test_only_what_the_figures_allow_is_offered(api: Api) -> None:
    assert field(studio(api).selectbox, "Version").options == [f"{1:012x} · Linear probe"]


def test_training_shows_the_new_finding_and_why_it_may_not_be_enabled(own_api: Api) -> None:
    page = studio(own_api)
    page.file_uploader[0].upload("x.zip", b"PK\3\4", "application/zip")
    for label, value in (("Name of the finding", "new"), ("What the images may be used for", "research")):
        field(page.text_input, label).set_value(value)
    page = press(page, "Learn and measure")

    assert field(page.selectbox, "Finding").value == "new"
    assert "0.612, and must be at least 0.70" in texts(page)
    assert field(page.selectbox, "Version").disabled


def test_training_without_a_file_says_so(api: Api) -> None:
    assert "Choose a ZIP archive first." in texts(press(studio(api), "Learn and measure"))


def test_an_empty_studio_says_what_to_do(empty_api: Api) -> None:
    assert "No finding has been taught" in texts(studio(empty_api))


def test_a_study_is_read_only_when_asked_and_not_as_a_part_of_its_report(own_api: Api) -> None:
    press(who(studio(own_api)), "Enable")
    page = open_page("medical", own_api)
    before = texts(page)
    page = press(page, "Read this study")

    assert "pectus excavatum" not in before
    assert "pectus excavatum" in texts(page)
    assert "81% · holds: present · AUC 0.84 (0.78 – 0.90)" in texts(page)
    assert "Not part of the report." in texts(page)


def test_a_doubt_and_a_refusal_are_told() -> None:
    refused = READING.model_copy(update={"prob": None, "refusal": "BodyPartExamined (0018,0015) must be BRAIN."})

    assert "holds: neither answer" in reading_text(Labels("en"), READING)
    assert reading_text(Labels("zh"), refused) == "未判读：BodyPartExamined (0018,0015) 须为 BRAIN。"


def test_the_studio_is_told_in_chinese(api: Api) -> None:
    said = texts(studio(api, language="zh"))

    assert "提示调优" in said
    assert "未证明优于线性探针" in said
    assert "由 50 张图像学习" in said


@pytest.mark.parametrize("low", [0.5, 0.8])
def test_what_the_rules_say_has_its_chinese(low: float) -> None:
    one = version("adapter", 1, auc=low, refusals=[])
    broken = one.figures.model_copy(update={"coverage_present": figure(low - 0.2), "coverage_absent": figure(0.5)})

    for text in [*refusals(broken), NOT_BETTER, NOT_GOOD, NOTICE + "."]:
        assert in_chinese(text) != text


def test_charts_draw_every_method_and_every_image() -> None:
    roc = roc_chart({"a": [(0, 0), (1, 1)], "b": [(0, 0), (0.5, 1), (1, 1)]}, LIGHT, x="x", y="y").to_dict()
    scores = score_chart({"absent": [2, 1], "present": [0, 3]}, LIGHT, x="p").to_dict()

    drawn = [row for rows in roc["datasets"].values() for row in rows if "method" in row]
    [bars] = scores["datasets"].values()
    assert [row["method"] for row in drawn] == ["a", "a", "b", "b", "b"]
    assert [row["count"] for row in bars] == [-2, -1, 0, 3]
