"""Features and findings: agreement with the application, with the other zone, with the calendar."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verticals.finance.documents.fakes import TODAY, lines_of
from verticals.finance.documents.holders import Facts, Kind, invent, zone
from verticals.finance.documents.mismatch import FEATURES, Examination, Stated, compare_names, examine
from verticals.finance.documents.reading import Reading, interpret


def valid(kind: Kind = "passport", **changes: object) -> Facts:
    facts = replace(invent(kind, seed=1, today=TODAY), expiry_date=TODAY + timedelta(days=900), **changes)  # type: ignore[arg-type]
    return facts if kind == "resident_card" else replace(facts, mrz=zone(facts))


def stated(facts: Facts) -> Stated:
    name = facts.name or f"{(facts.given_names or '').title()} {(facts.surname or '').title()}"
    return Stated(name=name, birth_date=facts.birth_date, number=facts.number)


def examined(facts: Facts, said: Stated | None = None) -> Examination:
    return examine(interpret(lines_of(facts), today=TODAY), said or stated(facts), today=TODAY)


def codes(found: Examination) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.field) for finding in found.findings]


@pytest.mark.parametrize("kind", ["passport", "identity_card", "resident_card"])
def test_a_valid_document_of_the_applicant_has_no_findings(kind: Kind) -> None:
    found = examined(valid(kind))

    assert codes(found) == []
    assert tuple(found.features) == tuple(FEATURES)
    assert [found.features[f"{name}_agreement"] for name in ("name", "birth_date", "number")] == [1, 1, 1]
    assert found.features["fields_missing"] == 0


def test_features_of_a_passport_that_holds() -> None:
    features = examined(valid()).features

    assert (features["expired"], features["days_to_expiry"]) == (0, 900)
    assert (features["zone_missing"], features["zone_checks_held"], features["zones_differ"]) == (0, 1, 0)
    assert features["citizen_number_invalid"] is None


def test_nothing_stated_is_not_known_rather_than_wrong() -> None:
    features = examined(valid(), Stated()).features

    assert [features[f"{name}_agreement"] for name in ("name", "birth_date", "number")] == [None, None, None]


def test_each_stated_field_that_differs_is_found() -> None:
    facts = valid()
    found = examined(facts, Stated("Zoe Unknown", date(1950, 1, 2), "X1"))

    assert codes(found) == [("D03", "name"), ("D04", "birth_date"), ("D05", "number")]
    assert {finding.severity for finding in found.findings} == {"alert"}
    assert (found.features["birth_date_agreement"], found.features["number_agreement"]) == (0, 0)


def test_a_doubtful_reading_softens_a_difference() -> None:
    facts = valid()
    dim = [replace(each, score=0.4) for each in lines_of(facts) if "<<" not in each.text]

    found = examine(interpret(dim, today=TODAY), replace(stated(facts), number="X1"), today=TODAY)

    assert [(f.code, f.severity) for f in found.findings if f.field == "number"] == [("D05", "review")]


def test_a_number_may_be_stated_with_spaces_and_in_small_letters() -> None:
    facts = valid()
    number = (facts.number or "").lower()

    assert examined(facts, Stated(number=f"{number[:3]} {number[3:]}")).features["number_agreement"] == 1


def test_an_expired_document_is_found_on_the_day_after_its_last() -> None:
    last, after = (
        examined(replace(f, mrz=zone(f)))
        for days in (0, -1)
        if (f := replace(valid(), expiry_date=TODAY + timedelta(days=days)))
    )

    assert (codes(last), last.features["expired"]) == ([], 0)
    assert (codes(after), after.features["days_to_expiry"]) == ([("D06", "expiry_date")], -1)


def test_a_child_is_found_until_the_eighteenth_birthday() -> None:
    grown, child = (
        examined(replace(f, mrz=zone(f)))
        for day in (30, 1)
        if (f := valid(birth_date=date(2008, 11 + (day == 1), day)))
    )

    assert codes(grown) == []
    assert codes(child) == [("D12", "birth_date")]


def test_a_birth_date_in_the_future_is_found() -> None:
    facts = valid(birth_date=date(2027, 1, 1))
    found = examine(
        interpret([each for each in lines_of(facts) if "<<" not in each.text], today=TODAY), Stated(), today=TODAY
    )

    assert ("D11", "birth_date") in codes(found)
    assert found.features["date_in_future"] == 1


def test_a_missing_zone_and_missing_fields_are_found() -> None:
    facts = valid()
    seen = [each for each in lines_of(facts) if "<<" not in each.text and each.text != facts.number]

    found = examine(interpret(seen, today=TODAY), stated(facts), today=TODAY)

    assert codes(found) == [("D02", "number"), ("D07", None)]
    assert found.features["fields_missing"] == pytest.approx(1 / 7)
    assert found.features["number_agreement"] is None


def test_a_forged_birth_date_in_the_visual_zone_is_found() -> None:
    facts = valid()
    found = examined(replace(facts, birth_date=date(1990, 5, 6)), stated(facts))

    assert codes(found) == [("D09", "birth_date")]
    assert found.features["zones_differ"] == pytest.approx(1 / 7)


def test_a_check_digit_that_fails_is_found() -> None:
    facts = valid()
    last = facts.mrz[1]
    coded = (facts.mrz[0], last[:-1] + ("1" if last[-1] != "1" else "2"))

    found = examined(replace(facts, mrz=coded))

    assert codes(found) == [("D08", "composite")]
    assert found.features["zone_checks_held"] == pytest.approx(4 / 5)


def test_a_citizen_number_that_breaks_the_standard_is_found() -> None:
    facts = valid("resident_card")
    number = facts.number or ""
    wrong = number[:-1] + ("1" if number[-1] != "1" else "2")

    found = examined(replace(facts, number=wrong), stated(facts))

    assert ("D10", "number") in codes(found)
    assert found.features["citizen_number_invalid"] == 1


def test_no_document_gives_one_finding_and_no_figures() -> None:
    found = examine(Reading("unknown", {}, None), Stated("A B"), today=TODAY)

    assert codes(found) == [("D01", None)]
    assert {name for name, value in found.features.items() if value is not None} == {"fields_missing"}


def test_findings_speak_both_languages_and_name_nobody() -> None:
    facts = valid()
    found = examined(replace(facts, birth_date=date(1990, 5, 6)), Stated("Zoe Unknown", date(1950, 1, 2), "X1"))
    said = " ".join(f"{f.text} {f.text_zh}" for f in found.findings)

    assert all(finding.text.isascii() and not finding.text_zh.isascii() for finding in found.findings)
    assert not any(
        str(value) in said
        for value in (facts.surname, facts.given_names, facts.number, "Zoe", "1950", "X1")
        if value is not None
    )


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "shown", "family", "agreement"),
    [
        ("Anna Maria Eriksson", "ERIKSSON ANNA MARIA", "ERIKSSON", 1),
        ("ERIKSSON, Anna-Maria", "ERIKSSON ANNA MARIA", "ERIKSSON", 1),
        ("Jürgen Müller", "MUELLER JUERGEN", "MUELLER", 1),
        ("Jurgen Muller", "MÜLLER JÜRGEN", "MÜLLER", 1),
        ("Łukasz Øster", "OSTER LUKASZ", "OSTER", 1),
        ("Sean O'Connor", "OCONNOR SEAN", "OCONNOR", 1),
        ("Anna Eriksson", "ERIKSSON ANNA MARIA", "ERIKSSON", 0.9),
        ("欧阳 娜", "欧阳娜", "", 1),
        ("Wang Hai", "王海", "", None),
    ],
)
def test_names_agree_whatever_their_order_and_accents(
    said: str, shown: str, family: str, agreement: float | None
) -> None:
    assert compare_names(said, shown, family=family) == agreement


@pytest.mark.parametrize(
    ("said", "shown", "family", "low", "high"),
    [
        ("Anna Maria", "ERIKSSON ANNA MARIA", "ERIKSSON", 0.3, 0.75),  # the surname is not stated
        ("Anna Erikson", "ERIKSSON ANNA", "ERIKSSON", 0.75, 0.9),  # one letter
        ("Peter Smith", "ERIKSSON ANNA MARIA", "ERIKSSON", 0, 0.5),
        ("王涛", "王海", "", 0.4, 0.5),
    ],
)
def test_other_names_agree_less(said: str, shown: str, family: str, low: float, high: float) -> None:
    found = compare_names(said, shown, family=family)

    assert found is not None
    assert low <= found < high


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_the_agreement_of_any_two_texts_is_a_share(said: str, shown: str) -> None:
    found = compare_names(said, shown)

    assert found is None or 0 <= found <= 1


def test_every_field_of_what_was_stated_is_compared() -> None:
    assert [f.name for f in fields(Stated)] == ["name", "birth_date", "number"]
