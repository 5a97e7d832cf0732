"""What was held and refused: what a person sees of it, and what release and discard send."""

from __future__ import annotations

import pytest

from dashboards.i18n import Labels
from dashboards.views.medical_held import told
from dashboards.views.medical_viewer import picture_data
from service.client import TriviumClient
from tests.dashboards.conftest import Api, field, open_page, press, texts
from tests.dashboards.fake_intake import png
from verticals.medical.intake_schemas import HeldObject, PageRequest


def _first(api: Api) -> HeldObject:
    page = TriviumClient(api.url, api.key).call("medical", "list_held", PageRequest())
    found: HeldObject = page.objects[0]
    return found


def test_held_and_refused_objects_are_listed_with_tag_and_rule(api: Api) -> None:
    held, masks, refused = open_page("medical", api, tab="held").dataframe[:3]

    assert list(held.value["State"]) == ["Waits", "Discarded: not of this study"]
    assert held.value["Tag or field"][0] == "PixelData (7fe0,0010)"
    assert held.value["Rule"][0].startswith("text was found in the pixels")
    assert list(masks.value["right"]) == [150]  # where text was found
    assert list(refused.value["Tag or field"]) == ["PatientID (0010,0020)", "file"]
    assert list(refused.value["Way in"]) == ["C-STORE", "Upload"]


def test_the_pixels_are_shown_only_when_asked_for(own_api: Api) -> None:
    page = open_page("medical", own_api, tab="held")
    assert "held.seen" not in page.session_state or not page.session_state["held.seen"]

    page = press(page, "Show the pixels")

    assert list(page.session_state["held.seen"]) == [("hd_1", 1)]


def test_a_release_needs_the_statement_and_takes_the_marked_regions_away(own_api: Api) -> None:
    page = open_page("medical", own_api, tab="held")
    label = "Release with 1 region(s) painted over"
    page.text_input[0].input("Dr. A. Reader")
    page = press(page, label)
    assert "you have looked at every frame" in texts(page)
    assert _first(own_api).state == "held"

    page.checkbox[0].check()
    page = press(page, label)

    assert (_first(own_api).state, _first(own_api).decided_by) == ("masked", "Dr. A. Reader")
    assert page.session_state["medical.study"] == "s-3"


def test_an_object_is_discarded_for_a_reason_of_the_list(own_api: Api) -> None:
    page = open_page("medical", own_api, tab="held")
    field(page.selectbox, "Why it is discarded").set_value("wrong patient")
    page.text_input[1].input("Dr. A. Reader")
    page = press(page, "Discard")

    assert _first(own_api).discarded_because == "wrong patient"
    assert "another patient's" in page.dataframe[0].value["State"][0]


def test_an_archive_that_held_nothing_says_so(empty_api: Api) -> None:
    said = texts(open_page("medical", empty_api, tab="held"))

    assert "Nothing was ever held" in said
    assert "Nothing was refused" in said


@pytest.mark.parametrize(
    ("reason", "parts"),
    [
        ("a fault in this program (KeyError)", ("", "", "a fault in this program (KeyError)")),
        ("BitsStored (0028,0101): must be 1 to 16 (PS3.5 8.1.1) (got 17).",
         ("BitsStored (0028,0101)", "17", "must be 1 to 16 (PS3.5 8.1.1)")),
        ("file: must be a DICOM Part 10 file: 'DICM' at byte 128 (PS3.10 7.1). Export it.",
         ("file", "", "must be a DICOM Part 10 file: 'DICM' at byte 128 (PS3.10 7.1). Export it.")),
    ],
)  # fmt: skip
def test_a_reason_is_taken_apart_into_tag_value_and_rule(reason: str, parts: tuple[str, str, str]) -> None:
    assert told(Labels("en"), reason) == parts


def test_a_picture_is_drawn_in_its_own_size_and_without_windows() -> None:
    data = picture_data(Labels("en"), "k", png(), regions=[])

    assert (data["rows"], data["columns"], data["is_colour"]) == (256, 256, True)
