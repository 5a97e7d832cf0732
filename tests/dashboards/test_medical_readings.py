"""Nodule candidates, calculators, fundus steps and records: what the page shows of each, and what it never does."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.i18n import Labels
from dashboards.views.medical_calculators import CALCULATORS, form
from dashboards.views.medical_nodules import drawn, largest, nodule_rows
from dashboards.views.medical_viewer import Extra, place_of_region, viewer_data
from service.client import TriviumClient
from tests.dashboards.conftest import Api, field, open_page, press, run, texts
from tests.dashboards.fake_readings import EYE, SLICES, STACK, nodules
from verticals.medical.ct.reader import STATUS
from verticals.medical.ct.schemas import NodulesRequest
from verticals.medical.reading_schemas import PixelsRequest
from verticals.medical.schemas import StudyRequest

EN = Labels("en")
FOUND = nodules(NodulesRequest(study_id=STACK, series_uid="1", unvalidated=True))
ASK = "Look for nodule candidates (research model, not validated)"


def _open(api: Api, study_id: str, **kwargs: Any) -> Any:
    page = open_page("medical", api, **kwargs)
    page.session_state["medical.study"] = study_id
    return run(page)


# --- nodules ---------------------------------------------------------------------------------------------------------


def test_candidates_are_shown_only_when_asked_for_and_with_the_services_own_label(api: Api) -> None:
    page = _open(api, STACK)
    assert STATUS not in texts(page)

    next(one for one in page.toggle if one.label == ASK).set_value(True)
    said = texts(run(page))

    assert STATUS in said
    assert "No candidate is in the report" in said
    assert "Nodule candidates (1)" in said


def test_one_slice_alone_offers_no_candidates(api: Api) -> None:
    assert ASK not in [one.label for one in _open(api, "s-3").toggle]


def test_a_candidate_is_listed_with_sizes_zone_and_score() -> None:
    assert nodule_rows(EN, FOUND) == [
        {
            "Candidate": "candidate 1",
            "Mean diameter, mm": 7.2,
            "Long × short, mm": "8.1 × 6.3",
            "Volume, mm³": 195,
            "Zone": "upper lung zone, left",
            "Density": "solid",
            "Score": 0.61,
        }
    ]


def test_a_candidate_is_gone_to_where_it_is_largest_and_drawn_apart_from_findings(api: Api) -> None:
    client = TriviumClient(api.url, api.key)
    study = client.call("medical", "get_study", StudyRequest(study_id=STACK))
    region = largest(FOUND.evidence["f1"])
    frame = client.call("medical", "pixels", PixelsRequest(study_id=STACK, instance_id="i-83"))
    extra = drawn(EN, study, FOUND)
    assert extra is not None

    data = viewer_data(EN, study, frame, extra=Extra(regions=extra.regions, pinned=["candidate 1"]))

    assert (region.sop_instance_uid, place_of_region(study, region)) == (SLICES[2], (0, 2))
    assert [(one["finding_id"], one["tone"]) for one in data["regions"]] == [("candidate 1", "candidate")]
    assert data["pinned"] == ["candidate 1"]


# --- calculators -----------------------------------------------------------------------------------------------------


class _Place:
    """Inputs that nobody touches, or that answer as told."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def selectbox(self, label: str, options: Any, *, index: None, **_: Any) -> Any:
        told = self.told.get(label, index)
        assert told is None or told in options
        return told

    def number_input(self, label: str, *, value: None, **_: Any) -> Any:
        told = self.told.get(label, value)
        assert not isinstance(told, str)
        return told


@pytest.mark.parametrize("name", list(CALCULATORS))
def test_a_form_that_nobody_filled_states_nothing(name: str) -> None:
    assert form(EN, CALCULATORS[name], lambda _: _Place({}), key="k") == {}


def test_only_what_is_stated_is_sent() -> None:
    told = {"Density": "solid", "Known primary cancer": "no", "Age, years": 60}

    stated = form(EN, CALCULATORS["fleischner"], lambda _: _Place(told), key="k")

    assert stated == {"density": "solid", "known_cancer": False, "age_years": 60}


def test_a_calculator_asks_for_what_is_missing_and_answers_with_its_row(api: Api) -> None:
    page = press(_open(api, STACK), "Look it up")
    assert "More has to be stated" in texts(page)
    assert "The patient's age." in texts(page)

    answers = {"Examination": "baseline", "Most suspicious nodule": "none"}
    next(one for one in page.button_group if "lung_rads" in one.options or "Lung" in str(one.options)).set_value(
        "lung_rads"
    )
    page = run(page)
    for label, value in answers.items():
        next(one for one in page.selectbox if one.label == label).set_value(value)
    said = texts(press(page, "Look it up"))

    assert "**Answered** · 1" in said
    assert "12-month screening LDCT." in said
    assert "No lung nodules · ACR Lung-RADS v2022" in said


# --- fundus ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_photographs_steps_are_listed_with_what_each_found(api: Api, language: str) -> None:
    said = texts(_open(api, EYE, language=language))

    names = ("Quality", "Disc and side", "Vessels", "no validated model")
    if language == "zh":
        names = ("质量", "视盘与眼别", "血管", "无经验证的模型")
    for name in names:
        assert name in said


# --- record ----------------------------------------------------------------------------------------------------------


def _record(page: Any, patient: str) -> Any:
    field(page.text_input, "Patient ID").input(patient)
    field(page.text_area, "Text of the record").input("Known asthma. No fever.")
    return press(page, "Read the record")


def test_a_record_is_listed_with_assertions_and_taken_over_only_by_a_click(own_api: Api) -> None:
    page = _record(_open(own_api, "s-3"), "P-1")
    facts = next(one.value for one in page.dataframe if "Assertion" in one.value)
    assert list(facts["As the record says it"]) == ["asthma", "fever"]
    assert list(facts["Assertion"]) == ["present", "absent"]
    assert "asthma" not in field(page.text_area, "Examination").value

    page = press(page, "Take into the report")
    assert field(page.text_area, "Examination").value.endswith("\nIndication: Problems: asthma.")
    assert "Version 1" in texts(page)  # until the person saves

    assert "Version 2" in texts(press(page, "Save"))


def test_a_file_that_is_not_in_utf_8_is_refused_and_not_guessed_at(own_api: Api) -> None:
    page = _record(_open(own_api, "s-3"), "P-1")
    field(page.file_uploader, "or a file").set_value(
        ("record.txt", "Known asthma, fièvre".encode("latin-1"), "text/plain")
    )

    page = press(page, "Read the record")

    told = texts(page)
    assert "must be a text in UTF-8" in told
    assert "`record` (got byte 17)" in told
    assert "Save the file as text in UTF-8 and send it again." in told
    assert "asthma" not in told
    assert "Take into the report" not in [button.label for button in page.button]


def test_another_patients_record_is_refused_and_nothing_is_offered(api: Api) -> None:
    page = _record(_open(api, "s-3"), "P-2")

    assert "is not the patient of the study" in texts(page)
    assert "Take into the report" not in [button.label for button in page.button]
