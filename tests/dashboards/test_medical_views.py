"""The reading room over made-up handlers: what a radiologist sees, and what the clicks change."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.i18n import Labels
from dashboards.views.medical_report import formats
from dashboards.views.medical_text import linked_data
from dashboards.views.medical_viewer import place_of, places, presets, viewer_data
from service.client import TriviumClient, UploadedFile
from tests.dashboards.conftest import Api, field, open_page, press, run, texts
from verticals.medical import schemas as s
from verticals.medical.evidence import EvidenceGraph
from verticals.medical.reading_schemas import PixelsRequest, PixelsResponse
from verticals.medical.schemas import ImageFacts, Sections, SeriesEntry, StudyResponse

EN = Labels("en")


def _study(api: Api, study_id: str) -> StudyResponse:
    found: StudyResponse = TriviumClient(api.url, api.key).call(
        "medical", "get_study", s.StudyRequest(study_id=study_id)
    )
    return found


def _frame(api: Api, study_id: str) -> PixelsResponse:
    found: PixelsResponse = TriviumClient(api.url, api.key).call("medical", "pixels", PixelsRequest(study_id=study_id))
    return found


def _open_unread(api: Api, study_id: str = "s-3", **kwargs: Any) -> Any:
    """The page with a study open that no model has read."""
    page = open_page("medical", api, **kwargs)
    page.session_state["medical.study"] = study_id
    return run(page)


# --- worklist --------------------------------------------------------------------------------------------------------


def test_the_worklist_begins_with_the_most_urgent_and_says_why(api: Api) -> None:
    rows = open_page("medical", api).dataframe[0].value

    assert list(rows["Urgency"]) == ["Urgent", "Soon", "Routine", "Routine"]
    assert rows["Reason"][0] == "The image is not diagnostic: it may have to be repeated."
    assert rows["Reason"][1] == "Nodule: present according to a model."


def test_the_reason_is_told_in_chinese(api: Api) -> None:
    rows = open_page("medical", api, language="zh").dataframe[0].value

    assert rows["原因"][1] == "结节：模型判为存在。"


def test_the_order_can_be_the_newest_first(api: Api) -> None:
    page = open_page("medical", api)
    page.button_group[0].set_value("newest")
    rows = run(page).dataframe[0].value

    assert list(rows["Received (UTC)"]) == sorted(rows["Received (UTC)"], reverse=True)


def test_the_worklist_is_paged_by_the_service(own_api: Api) -> None:
    client = TriviumClient(own_api.url, own_api.key)
    for i in range(22):
        upload = UploadedFile(filename=f"{i}.dcm", content=b"\0" * 128 + b"DICM", media_type="application/dicom")
        client.call("medical", "ingest_study", s.IngestRequest(file=upload, origin="upload"))

    page = open_page("medical", own_api)
    first = len(page.dataframe[0].value)
    page.pagination[0].set_value(2)

    assert (first, len(run(page).dataframe[0].value)) == (25, 1)


def test_a_page_that_is_no_longer_there_gives_way_to_the_first(api: Api) -> None:
    page = open_page("medical", api)
    page.session_state["medical.page"] = 9  # its last study was signed

    assert len(run(page).dataframe[0].value) == 4


def test_a_study_shows_notice_origin_and_that_no_model_was_applied(api: Api) -> None:
    page = _open_unread(api)
    said = texts(page)

    assert "Research software, not a medical device" in said
    assert "No model available." in said
    assert "Synthetic" in str(page.dataframe[0].value)


def test_the_next_open_study_is_one_press_away(own_api: Api) -> None:
    page = _open_unread(own_api, "s-3")
    page = press(page, "Next open study")

    assert page.session_state["medical.study"] == "s-1"


# --- image -----------------------------------------------------------------------------------------------------------


def test_each_modality_has_its_windows_and_the_files_own_comes_first(api: Api) -> None:
    ct, film = (_study(api, study_id) for study_id in ("s-3", "s-1"))

    assert [one["name"] for one in presets(EN, "CT", ct.image)] == [
        *("file", "soft", "lung", "mediastinum", "bone", "brain")
    ]
    assert [one["name"] for one in presets(EN, "CR", film.image)] == ["file", "hard", "flat", "full"]


def test_a_window_reaches_every_value_even_of_a_uniform_image(api: Api) -> None:
    frame = _frame(api, "s-3")
    uniform = frame.model_copy(update={"image": frame.image.model_copy(update={"value_min": 7.0, "value_max": 7.0})})

    low, high = viewer_data(EN, _study(api, "s-3"), uniform)["range"]["center"]

    assert low < 7.0 < high


def test_without_spacing_nothing_is_measured_and_the_reason_is_told(api: Api) -> None:
    known, unknown = (
        viewer_data(EN, _study(api, study_id), _frame(api, study_id))["caliper"] for study_id in ("s-3", "s-2")
    )

    assert known["spacing_mm"] == [0.66, 0.66]
    assert unknown["spacing_mm"] is None
    assert unknown["note"] == "Measuring is off. no Pixel Spacing in the file"


def test_regions_of_the_shown_frame_are_drawn_with_their_names(api: Api) -> None:
    regions = viewer_data(EN, _study(api, "s-4"), _frame(api, "s-4"))["regions"]

    assert [(one["finding_id"], one["label"], one["shape"]) for one in regions] == [
        ("f1", "f1 nodule, left", "polyline"),
        ("f2", "f2 pleural effusion, right", "point"),
    ]
    assert viewer_data(EN, _study(api, "s-4"), _frame(api, "s-3"))["regions"] == []  # another image


def _series(*instances: str) -> SeriesEntry:
    return SeriesEntry(
        series_uid="1", series_number=1, modality="CT", body_part="CHEST", instances=list(instances),
        sop_instance_uids=[f"2.25.{i}" for i in range(len(instances))], quality={},
    )  # fmt: skip


def test_a_series_is_scrolled_by_images_and_one_image_by_frames() -> None:
    image = ImageFacts.model_construct(frames=3)

    assert places(_series("a", "b"), image) == [("a", 1), ("b", 1)]
    assert places(_series("a"), image) == [("a", 1), ("a", 2), ("a", 3)]
    assert places(None, image) == [(None, 1), (None, 2), (None, 3)]


def test_a_finding_is_looked_up_in_the_series_that_shows_it(api: Api) -> None:
    study = _study(api, "s-4")
    region = study.report.evidence["f1"].regions[0].model_copy(update={"sop_instance_uid": "2.25.1"})
    nodule = study.report.evidence["f1"].model_copy(update={"regions": (region,)})
    report = study.report.model_copy(update={"evidence": EvidenceGraph(findings=(nodule,))})
    other = _series("z").model_copy(update={"sop_instance_uids": ["9"]})
    study = study.model_copy(update={"report": report, "series": [other, _series("a", "b")]})

    assert place_of(study, "f1") == (1, 1)
    assert place_of(study, "f9") is None


def test_a_heatmap_is_offered_only_for_a_film_that_a_model_read(api: Api) -> None:
    for study_id in ("s-1", "s-4"):  # a film that no model read, a CT that one did
        assert "Heatmap" not in [one.label for one in _open_unread(api, study_id).toggle]

    shown = viewer_data(EN, _study(api, "s-4"), _frame(api, "s-4"), heatmap=b"png")
    assert shown["heatmap"] == "cG5n"


# --- text ------------------------------------------------------------------------------------------------------------


def test_sentences_carry_their_findings_and_together_they_are_the_whole_text(api: Api) -> None:
    report = _study(api, "s-4").report
    (findings,) = linked_data(EN, report, _frame(api, "s-4"), sections=["findings"])["sections"]

    assert "".join(part["text"] for part in findings["parts"]) == report.sections.findings
    linked = [part for part in findings["parts"] if part["ids"]]
    assert [part["ids"] for part in linked] == [["f1"], ["f2"], ["f3"]]
    assert [part["is_located"] for part in linked] == [True, True, False]
    assert "probability 87%" in linked[0]["title"]


def test_a_sentence_whose_region_is_on_another_image_goes_there(api: Api) -> None:
    report = _study(api, "s-4").report

    def goes(frame: PixelsResponse) -> list[str | None]:
        (findings,) = linked_data(EN, report, frame, sections=["findings"])["sections"]
        return [part["goes_to"] for part in findings["parts"] if part["ids"]]

    assert goes(_frame(api, "s-4")) == [None, None, None]
    assert goes(_frame(api, "s-3")) == ["f1", "f2", None]


def test_what_an_edit_says_against_the_model_is_remarked_on_beside_its_sentence(own_api: Api) -> None:
    before = _study(own_api, "s-4").report
    sections = before.sections.model_copy(
        update={"findings": "Right lung nodule.\nPossible right pleural effusion, increased since last year."}
    )
    request = s.EditReportRequest(
        report_id=before.report_id, sections=Sections.model_validate(sections.model_dump()), expected_version=1
    )
    report = TriviumClient(own_api.url, own_api.key).call("medical", "edit_report", request)
    (findings,) = linked_data(EN, report, None, sections=["findings"])["sections"]

    told = {part["text"]: part["remarks"] for part in findings["parts"] if part["remarks"]}
    assert len(told) == 2
    first, second = told.values()
    assert first[0].startswith("Another side than found: ")
    assert any(one.startswith("Compares with no prior: ") for one in second)


# --- report ----------------------------------------------------------------------------------------------------------


def test_a_report_is_edited_signed_and_added_to(own_api: Api) -> None:
    page = _open_unread(own_api)
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
    page = _open_unread(own_api)
    field(page.text_input, "Name of the signer").input("Dr. A. Reader")
    field(page.checkbox, "I have reviewed the images and this text.").check()
    page = press(page, "Sign")

    assert "blanks must be filled" in page.warning[0].value
    assert "Signed by" not in texts(page)


def test_a_format_that_draws_regions_is_offered_only_where_there_are_any(api: Api) -> None:
    assert formats(_study(api, "s-3").report) == ["sr", "pdf", "fhir", "text"]
    assert formats(_study(api, "s-4").report) == ["sr", "pdf", "fhir", "text", "seg", "gsps", "ko", "sc", "all"]


def test_a_file_is_made_when_its_format_is_chosen(api: Api) -> None:
    page = _open_unread(api)
    assert not page.download_button
    group = next(one for one in page.button_group if "PDF" in one.options)
    group.set_value("sr")
    page = run(page)

    assert [button.label for button in page.download_button] == ["Download r-3-sr.dcm"]


# --- prior -----------------------------------------------------------------------------------------------------------


def test_a_study_without_prior_says_so(api: Api) -> None:
    said = texts(_open_unread(api))

    assert "No prior to compare with. No earlier study of this patient" in said
    assert not [one for one in open_page("medical", api).toggle if one.label.startswith("Compare with")]


def test_a_prior_is_shown_beside_the_study_when_asked_for(api: Api) -> None:
    page = _open_unread(api, "s-4")
    next(one for one in page.toggle if one.label.startswith("Compare with the prior (CT")).set_value(True)
    said = texts(run(page))

    assert "**This study**" in said
    assert "**Prior**" in said


# --- intake ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_dicom_is_refused_with_the_remedy(own_api: Api) -> None:
    page = open_page("medical", own_api)
    field(page.file_uploader, "DICOM file").set_value(("cat.jpg", b"\xff\xd8\xff", "image/jpeg"))
    page = press(page, "Read the file")

    assert "DICOM Part 10" in page.warning[0].value
    assert r"Send a .dcm file" in page.warning[0].value
    assert len(page.dataframe[0].value) == 4


def test_an_uploaded_study_is_opened(own_api: Api) -> None:
    page = open_page("medical", own_api)
    field(page.file_uploader, "DICOM file").set_value(("a.dcm", b"\0" * 128 + b"DICM", "application/dicom"))
    page = press(page, "Read the file")

    assert len(page.dataframe[0].value) == 5
    assert page.session_state["medical.study"] == "s-5"


# --- quality and drift -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_drift_shows_rates_with_intervals_and_overrides(api: Api, language: str) -> None:
    page = open_page("medical", api, language=language, tab="drift")
    said = texts(page)

    assert "20.0%" in said  # nodules
    assert ("Moved" if language == "en" else "变动") in said
    assert ("Removed: all kinds" if language == "en" else "删除: 全部种类") in said


def test_drift_without_anything_says_what_is_missing(empty_api: Api) -> None:
    said = texts(open_page("medical", empty_api, tab="drift"))

    assert "No study in this period" in said
    assert "No study was read by a model" in said
