"""The machine-readable zone: Doc 9303's own specimens, what check digits promise, and repair that is proved."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.contract import InvalidInput
from verticals.finance.documents.holders import invent
from verticals.finance.documents.mrz import LAYOUTS, check_digit, fit_width, parse, value

TODAY = date(2026, 11, 30)
# Doc 9303: part 4, appendix A; part 5, appendix A; part 6, appendix A.
SPECIMENS = {
    "TD3": ("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"),
    "TD1": ("I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"),
    "TD2": ("I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6"),
}
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ<"
texts = st.text(CHARACTERS, min_size=1, max_size=44)


@pytest.mark.parametrize("size", SPECIMENS)
def test_the_specimens_of_the_standard_are_read(size: str) -> None:
    found = parse(SPECIMENS[size], today=TODAY)

    assert found.size == size
    assert found.valid
    assert (found.problems, found.repaired) == ((), ())
    assert (found.surname, found.given_names) == ("ERIKSSON", "ANNA MARIA")
    assert (found.birth_date, found.expiry_date) == (date(1974, 8, 12), date(2012, 4, 15))
    assert (found.sex, found.nationality, found.issuing_state) == ("F", "UTO", "UTO")


def test_the_specimens_keep_their_numbers_and_optional_data() -> None:
    passport, card = (parse(SPECIMENS[size], today=TODAY) for size in ("TD3", "TD1"))

    assert (passport.number, passport.optional) == ("L898902C3", "ZE184226B")
    assert (card.number, card.optional) == ("D23145890", "")


def test_a_number_of_more_than_nine_characters_goes_on_in_the_optional_data() -> None:
    long, digit = "D23145890734", check_digit("D23145890734")
    first = f"I<UTO{long[:9]}<{long[9:]}{digit}".ljust(30, "<")
    composite = check_digit(first[5:] + "7408122" + "1204159" + "<" * 11)

    found = parse((first, f"7408122F1204159UTO<<<<<<<<<<<{composite}", SPECIMENS["TD1"][2]), today=TODAY)

    assert found.number == long
    assert found.valid


# --- check digits ----------------------------------------------------------------------------------------------------


@given(text=texts, data=st.data())
def test_a_wrong_character_is_found_unless_its_value_differs_by_tens(text: str, data: st.DataObject) -> None:
    """The scheme is modulo 10 with weights prime to 10: A for 0, or L for 1, is beyond it."""
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(CHARACTERS))
    changed = text[:place] + other + text[place + 1 :]

    found = check_digit(changed) != check_digit(text)

    assert found == ((value(other) - value(text[place])) % 10 != 0)


@given(text=st.text("0123456789", min_size=6, max_size=6), data=st.data())
def test_every_wrong_digit_of_a_date_is_found(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, 5))
    other = data.draw(st.sampled_from("0123456789".replace(text[place], "")))

    assert check_digit(text[:place] + other + text[place + 1 :]) != check_digit(text)


@given(text=texts.filter(lambda t: len(t) > 1), data=st.data())
def test_swapped_neighbours_are_found_unless_they_differ_by_fives(text: str, data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(text) - 2))
    swapped = text[:i] + text[i + 1] + text[i] + text[i + 2 :]

    found = check_digit(swapped) != check_digit(text)

    assert found == ((value(text[i]) - value(text[i + 1])) % 5 != 0)


def test_a_check_digit_needs_the_zones_characters() -> None:
    with pytest.raises(InvalidInput, match=r"mrz: may hold A-Z, 0-9 and < only \(got '3 characters'\)"):
        check_digit("a-b")


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(("passport", "identity_card")), data=st.data())
def test_a_wrong_digit_in_a_zone_fails_its_own_and_the_composite_check(
    seed: int, kind: str, data: st.DataObject
) -> None:
    lines = list(invent(kind, seed=seed, today=TODAY).mrz)  # type: ignore[arg-type]
    layout = LAYOUTS["TD3" if kind == "passport" else "TD1"]
    name = data.draw(st.sampled_from(("birth_date", "expiry_date")))
    line, start, end = getattr(layout, name)
    place = data.draw(st.integers(start, end - 1))
    other = data.draw(st.sampled_from("0123456789".replace(lines[line][place], "")))
    lines[line] = lines[line][:place] + other + lines[line][place + 1 :]

    found = parse(lines, today=TODAY)

    assert not found.checks[name]
    assert not found.checks["composite"]
    assert any(problem.startswith(f"{name}: its check digit") for problem in found.problems)


# --- years -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("year", "born"), [("26", 2026), ("27", 1927), ("74", 1974), ("00", 2000)])
def test_a_birth_is_never_in_the_future(year: str, born: int) -> None:
    birth = f"{year}0812"
    lines = (SPECIMENS["TD3"][0], f"L898902C36UTO{birth}{check_digit(birth)}F1204159ZE184226B<<<<<10")

    assert parse(lines, today=TODAY).birth_date == date(born, 8, 12)


@pytest.mark.parametrize(("year", "expires"), [("26", 2026), ("70", 2070), ("80", 1980), ("12", 2012)])
def test_an_expiry_is_the_nearest_such_year(year: str, expires: int) -> None:
    expiry = f"{year}0415"
    lines = (SPECIMENS["TD3"][0], f"L898902C36UTO7408122F{expiry}{check_digit(expiry)}ZE184226B<<<<<10")

    assert parse(lines, today=TODAY).expiry_date == date(expires, 4, 15)


def test_an_unknown_birth_date_is_no_date_but_its_check_holds() -> None:
    lines = (SPECIMENS["TD3"][0], "L898902C36UTO<<<<<<0F1204159ZE184226B<<<<<10")

    found = parse(lines, today=TODAY)

    assert found.birth_date is None
    assert found.checks["birth_date"]
    assert found.problems[0] == "birth_date (6 characters): must be a date, year first"


# --- repair ----------------------------------------------------------------------------------------------------------


def test_letters_in_places_for_digits_are_mended_when_the_check_digit_holds() -> None:
    lines = (SPECIMENS["TD3"][0], "L8989O2C36UTO74O8I22F12O4I59ZE184226B<<<<<10")

    found = parse(lines, today=TODAY)

    assert found.valid
    assert found.repaired == ("birth_date", "expiry_date", "number")
    assert (found.number, found.birth_date) == ("L898902C3", date(1974, 8, 12))


def test_a_misread_that_no_check_digit_proves_stays_as_read() -> None:
    lines = (SPECIMENS["TD3"][0], "L898902C36UTO7508122F1204159ZE184226B<<<<<10")

    found = parse(lines, today=TODAY)

    assert found.birth_date == date(1975, 8, 12)
    assert (found.checks["birth_date"], found.repaired) == (False, ())


LOOK_ALIKE = {"0": "O", "1": "I", "2": "Z", "4": "A", "5": "S", "7": "T", "8": "B"}


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(("passport", "identity_card")), data=st.data())
def test_one_confused_letter_gives_the_number_again_or_a_failing_check(
    seed: int, kind: str, data: st.DataObject
) -> None:
    facts = invent(kind, seed=seed, today=TODAY)  # type: ignore[arg-type]
    number = facts.number or ""
    places = [i for i, c in enumerate(number) if c in LOOK_ALIKE]
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    wrong = number[:place] + LOOK_ALIKE[number[place]] + number[place + 1 :]

    found = parse([line.replace(number, wrong) for line in facts.mrz], today=TODAY)

    assert found.number == number if found.checks["number"] else found.number == wrong


# --- shape -----------------------------------------------------------------------------------------------------------


@given(lost=st.integers(-4, 4))
def test_miscounted_fillers_are_mended_in_the_longest_run(lost: int) -> None:
    first = SPECIMENS["TD3"][0]
    wrong = first[: len(first) - lost] if lost >= 0 else first + "<" * -lost

    assert fit_width(wrong, 44) == first


def test_a_line_without_enough_fillers_keeps_its_width() -> None:
    assert fit_width("ABC<DEFG", 4) == "ABC<DEFG"


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ([], r"mrz: must be 3 lines of 30 .* \(got 'lines of \[\] characters'\)"),
        (["P<UTO" + "<" * 38, "0" * 44], r"mrz: must be 3 lines .*2 of 44.*\[43, 44\]"),
        (["p<uto" + "<" * 39, "0" * 44], r"mrz\.line_1: may hold A-Z, 0-9 and < only \(got '44 characters'\)"),
    ],
)
def test_a_text_that_is_no_zone_is_refused_with_place_length_and_rule(lines: list[str], rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule):
        parse(lines, today=TODAY)


@given(
    lines=st.one_of(
        st.lists(st.text(max_size=50), max_size=4),
        *(
            st.lists(st.text(CHARACTERS, min_size=w.width, max_size=w.width), min_size=w.lines, max_size=w.lines)
            for w in LAYOUTS.values()
        ),
    )
)
def test_whatever_the_text_a_zone_or_a_refusal_without_its_content_comes_back(lines: list[str]) -> None:
    said = ""
    try:
        found = parse(lines, today=TODAY)
    except InvalidInput as error:
        said = str(error)
    else:
        assert set(found.checks) >= {"number", "birth_date", "expiry_date", "composite"}
        assert found.birth_date is None or found.birth_date <= TODAY

    assert not any(len(line) > 5 and line in said for line in lines)
