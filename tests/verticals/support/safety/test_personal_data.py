"""What counts as personal data, and stable placeholders. Every value is made up or a published example."""

from __future__ import annotations

import pytest

from verticals.support.safety.personal_data import contacts_in, mask, values_in

FOUND = [
    ("email", "ana.lopez+shop@mail.example.com"),
    ("phone", "(415) 555-0134"),
    ("phone", "1-415-555-0134"),
    ("phone", "+44 20 7946 0958"),
    ("phone", "+1 (415) 555-0134"),
    ("phone", "138-0013-8000"),
    ("phone", "+8613800138000"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("iban", "gb82west12345698765432"),
    ("card", "4111 1111 1111 1111"),
    ("card", "378282246310005"),
    ("card", "5555-5555-5555-4444"),
    ("card", "４１１１１１１１１１１１１１１１"),
    ("ssn", "219-09-9999"),
    ("id card", "11010519491231002X"),
    ("order", "MP12345678"),
    ("order", "mp-10001"),
    ("customer", "C-1001"),
    ("address", "742 Evergreen Terrace"),
    ("address", "1600 Amphitheatre Parkway, Mountain View, CA 94043"),
]
ORDINARY = [
    "Returns take 30 days; refunds 5 to 7 business days.",
    "It costs $1,234.56 or 1234567890 points.",
    "Card 4111 1111 1111 1112 fails its check digit.",
    "DE88 3704 0044 0532 0130 00 fails its check digits.",
    "000-12-3456 was never issued.",
    "110105194912310021 has a wrong check character.",
    "Model F-20, part 12-345-6789-0.",
    "The Pine Air 200 cleans 215 square feet.",
    "Follow us @mapleandpine, version 1.2.3.4.",
    "15 Days After Delivery",
]


@pytest.mark.parametrize(("kind", "value"), FOUND)
def test_a_value_is_masked_whatever_stands_around_it(kind: str, value: str) -> None:
    masked = [mask(text.format(value)) for text in ("{}", "Hers is {}.", "({0}), {0}!", "号码是{}，谢谢")]

    tag = f"[{kind} 1]"
    assert masked == [tag, f"Hers is {tag}.", f"({tag}), {tag}!", f"号码是{tag}，谢谢"]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_numbers_stay(text: str) -> None:
    assert mask(text) == text


def test_a_value_that_more_digits_follow_is_found_by_its_checksum() -> None:
    assert mask("Card 4111 1111 1111 1111 12 times") == "Card [card 1] 12 times"


def test_placeholders_number_values_not_places() -> None:
    assert mask("a@b.example, c@d.example, A@B.example") == "[email 1], [email 2], [email 1]"


def test_an_allowed_value_is_shown_in_any_spelling() -> None:
    allowed = values_in("Call me on 415-555-0134 about MP12345678")

    masked = mask("Yours: +1 (415) 555-0134, mp-12345678. Not yours: 415-555-0135", allowed=allowed)

    assert masked == "Yours: +1 (415) 555-0134, mp-12345678. Not yours: [phone 1]"


def test_an_allowed_street_is_shown_with_its_town_too() -> None:
    allowed = values_in("I live at 742 Evergreen Terrace")
    text = "742 Evergreen Terrace, Springfield, OR 97403, not 743 Evergreen Terrace"

    assert mask(text, allowed=allowed) == "742 Evergreen Terrace, Springfield, OR 97403, not [address 1]"


def test_only_contacts_count_as_published() -> None:
    text = "Write to help@shop.example or call 1-800-555-0142; paid with 4111111111111111, order MP12345678."

    assert contacts_in(text) == {("email", "help@shop.example"), ("phone", "8005550142")}
