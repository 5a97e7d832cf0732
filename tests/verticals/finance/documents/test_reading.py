"""Fields from lines of text: both zones, cross-checked, and China's card with its number."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verticals.finance.documents.fakes import TODAY, FakeOcr, line, lines_of
from tests.verticals.finance.documents.test_images import file_of, picture
from verticals.contract import InvalidInput
from verticals.finance.documents.holders import Facts, Kind, invent, zone
from verticals.finance.documents.ocr import level, rows
from verticals.finance.documents.reading import BOTH_ZONES, FIELDS, Reading, interpret, read_document
from verticals.finance.documents.visual import read_date

kinds = st.sampled_from(get_args(Kind))


def printed(facts: Facts) -> dict[str, str]:
    """The document's fields as the reader writes them."""
    shown = {name: getattr(facts, name) for name in FIELDS[facts.kind]}
    return {name: v.isoformat() if isinstance(v, date) else v for name, v in shown.items()}


def values(reading: Reading) -> dict[str, str]:
    return {name: field.value for name, field in reading.fields.items()}


@settings(deadline=None)
@given(kind=kinds, seed=st.integers(0, 10_000))
def test_a_document_read_without_error_gives_every_field(kind: Kind, seed: int) -> None:
    facts = invent(kind, seed=seed, today=TODAY)

    found = interpret(lines_of(facts), today=TODAY)

    assert found.kind == kind
    assert values(found) == printed(facts)
    assert found.disagreements == ()
    alone = {"name", "ethnicity", "address"}  # of the resident card: nothing proves them
    assert all((field.confidence >= 0.9) != (name in alone) for name, field in found.fields.items())


@settings(deadline=None)
@given(kind=st.sampled_from(("passport", "identity_card")), seed=st.integers(0, 10_000))
def test_accents_lost_spaces_and_zeros_for_o_in_the_zone_do_no_harm(kind: Kind, seed: int) -> None:
    facts = invent(kind, seed=seed, today=TODAY)
    seen = [
        replace(each, text=each.text.replace("O", "0") if "<<" in each.text else each.text)
        if each.text != facts.given_names
        else replace(each, text=each.text.replace(" ", ""))
        for each in lines_of(facts)
    ]

    found = interpret(seen, today=TODAY)

    assert values(found)["given_names"] == facts.given_names
    assert values(found)["surname"] == facts.surname
    assert found.fields["surname"].source == "both"


def passport() -> Facts:
    return invent("passport", seed=1, today=TODAY)


def test_without_a_zone_the_labels_are_read_and_nothing_is_proven() -> None:
    facts = passport()

    found = interpret([each for each in lines_of(facts) if "<<" not in each.text], today=TODAY)

    assert found.mrz is None
    assert values(found) == printed(facts)
    assert {field.source for field in found.fields.values()} == {"visual"}
    assert max(field.confidence for field in found.fields.values()) < 0.7


def test_without_labels_the_zone_is_read_and_accents_are_found_on_the_page() -> None:
    facts = replace(passport(), surname="MÜLLER")
    facts = replace(facts, mrz=zone(facts))
    seen = [each for each in lines_of(facts) if "/" not in each.text and "Do" not in each.text]

    found = interpret(seen, today=TODAY)

    assert values(found) == printed(facts)
    assert found.fields["surname"].source == "both"


def test_a_state_may_write_an_accented_letter_in_one_letter_or_two() -> None:
    facts = replace(passport(), surname="BERGSTRÖM")
    coded = zone(replace(facts, surname="BERGSTROM"))

    found = interpret(lines_of(replace(facts, mrz=coded)), today=TODAY)

    assert (found.fields["surname"].value, found.fields["surname"].source) == ("BERGSTRÖM", "both")
    assert found.disagreements == ()


def test_a_contradiction_is_told_and_the_proven_side_is_preferred() -> None:
    facts = passport()
    other = replace(facts, birth_date=date(1980, 1, 2), surname="SOMEBODY")

    found = interpret(lines_of(replace(other, mrz=facts.mrz)), today=TODAY)

    assert found.disagreements == ("surname", "birth_date")
    assert found.fields["birth_date"].value == printed(facts)["birth_date"]
    assert found.fields["birth_date"].confidence < BOTH_ZONES


def test_a_zone_that_fails_its_check_gives_way_to_the_visual_zone() -> None:
    facts = passport()
    number = facts.number or ""
    wrong = number[:-1] + ("7" if number[-1] != "7" else "8")
    coded = tuple(text.replace(number, wrong) for text in facts.mrz)

    found = interpret(lines_of(replace(facts, mrz=coded)), today=TODAY)

    assert found.fields["number"].value == number
    assert found.mrz is not None
    assert not found.mrz.checks["number"]
    assert "number" in found.disagreements


def test_a_zone_with_other_angles_and_lost_fillers_is_read() -> None:
    facts = passport()
    coded = (facts.mrz[0].rstrip("<") + "<<«＜く", facts.mrz[1].replace("<" * 8, "<" * 6, 1))

    found = interpret(lines_of(replace(facts, mrz=coded)), today=TODAY)

    assert found.mrz is not None
    assert found.mrz.valid


def test_a_zone_in_pieces_is_joined_along_its_row() -> None:
    facts = passport()
    seen = [each for each in lines_of(facts) if "<<" not in each.text]
    for i, text in enumerate(facts.mrz):
        seen += [line(text[:20], 10, 800 + 40 * i), line(text[20:], 260, 803 + 40 * i)]

    found = interpret(seen, today=TODAY)

    assert found.mrz is not None
    assert found.mrz.valid


# --- China's card ----------------------------------------------------------------------------------------------------


def test_labels_apart_from_their_values_and_misread_ones_are_understood() -> None:
    facts = invent("resident_card", seed=4, today=TODAY)
    rest = [each for each in lines_of(facts)[2:] if not each.text.startswith("公民")]
    sex = "男" if facts.sex == "M" else "女"
    seen = [line("姓名", 10, 0), line(facts.name or "", 80, 2), line(f"性刻{sex}", 10, 60)]
    seen += [line(f"族{facts.ethnicity}", 200, 62), *rest, line(facts.number or "", 100, 300)]

    found = interpret(seen, today=TODAY)

    assert values(found) == printed(facts)


def test_birth_date_and_sex_that_contradict_the_number_are_told() -> None:
    facts = invent("resident_card", seed=4, today=TODAY)
    other = replace(facts, birth_date=date(1950, 1, 2), sex="F" if facts.sex == "M" else "M")

    found = interpret(lines_of(other), today=TODAY)

    assert found.disagreements == ("sex", "birth_date")
    assert found.number_valid


def test_a_number_that_breaks_the_standard_is_read_but_not_trusted() -> None:
    facts = invent("resident_card", seed=4, today=TODAY)
    number = facts.number or ""
    wrong = number[:-1] + ("1" if number[-1] != "1" else "2")

    found = interpret(lines_of(replace(facts, number=wrong)), today=TODAY)

    assert found.number_valid is False
    assert found.fields["number"].value == wrong
    assert found.fields["number"].confidence < 0.5


# --- images ----------------------------------------------------------------------------------------------------------


def test_a_page_that_makes_no_sense_is_turned() -> None:
    facts = passport()
    ocr = FakeOcr([line("upside down", 0, 0)], lines_of(facts))

    found = read_document(file_of(picture()), ocr, today=TODAY)

    assert values(found) == printed(facts)
    assert np.array_equal(np.asarray(ocr.images[0]), np.asarray(ocr.images[1])[::-1, ::-1])


def test_a_page_on_its_side_is_turned_though_its_labels_can_be_read() -> None:
    facts = passport()
    upright = [replace(each, right=each.left + 20, bottom=each.top + 200) for each in lines_of(facts)]
    visual = [each for each in upright if "<<" not in each.text]
    ocr = FakeOcr(visual, visual, lines_of(facts))

    found = read_document(file_of(picture()), ocr, today=TODAY)

    assert values(found) == printed(facts)
    assert ocr.images[2].size == (200, 300)


@pytest.mark.parametrize("lines", [[], [line("a photograph of a cat", 0, 0)]])
def test_an_image_without_a_document_is_of_unknown_kind(lines: list[object]) -> None:
    found = read_document(file_of(picture()), FakeOcr(lines), today=TODAY)  # type: ignore[arg-type]

    assert (found.kind, dict(found.fields), found.mrz) == ("unknown", {}, None)


def test_what_is_no_image_never_reaches_the_reader() -> None:
    ocr = FakeOcr([])

    with pytest.raises(InvalidInput, match="is no image"):
        read_document(b"no image", ocr, today=TODAY)
    assert ocr.images == []


words = st.text("PUTO<0123456789ABCé男女姓名年月日/ .", max_size=50)
places = st.floats(0, 2000)


@settings(deadline=None)
@given(st.lists(st.builds(line, words, places, places, st.floats(0, 1)), max_size=12))
def test_whatever_the_lines_a_reading_comes_back(lines: list[object]) -> None:
    found = interpret(lines, today=TODAY)  # type: ignore[arg-type]

    assert all(0 <= field.confidence <= 1 and field.value for field in found.fields.values())


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("05 JAN 1962", "1962-01-05"),
        ("05JAN1962", "1962-01-05"),
        ("O5 JAM 1962", "1962-01-05"),
        ("05.06.1997", "1997-06-05"),
        ("05 06 1997", "1997-06-05"),
        ("1997-06-05", "1997-06-05"),
        ("31 FEB 1990", None),
        ("05 XYZ 1990", None),
        ("JANSEN", None),
        ("", None),
    ],
)
def test_dates_in_the_forms_of_documents(text: str, day: str | None) -> None:
    assert read_date(text) == day


def test_lines_of_a_turned_page_are_made_level() -> None:
    angle = np.deg2rad(8)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    boxes = np.array([[(x, y), (x + 200, y), (x + 200, y + 20), (x, y + 20)] for x, y in ((0, 0), (400, 0), (0, 50))])

    found = rows(level(boxes @ turn, ["left", "right", "under"], [1.0, 1.0, 1.0]))

    assert [[each.text for each in row] for row in found] == [["left", "right"], ["under"]]
