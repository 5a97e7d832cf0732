"""A reader that returns lines as they would stand on a card, so that tests need no model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from PIL import Image

from verticals.finance.documents.holders import Facts
from verticals.finance.documents.ocr import Line

TODAY = date(2026, 11, 30)


def line(text: str, x: float, y: float, score: float = 1.0) -> Line:
    """A line of letters 20 pixels high."""
    return Line(text, score, x, y, x + 12 * len(text), y + 20)


def lines_of(facts: Facts) -> list[Line]:
    """What a perfect reader would see on `facts`' document."""
    return _resident_lines(facts) if facts.kind == "resident_card" else _travel_lines(facts)


def _travel_lines(facts: Facts) -> list[Line]:
    shown = (
        ("Surname / Nom", facts.surname),
        ("Given names / Prénoms", facts.given_names),
        ("Nationality / Nationalité", facts.nationality),
        ("Sex / Sexe", facts.sex),
        ("Date of birth / Date de naissance", f"{facts.birth_date:%d %b %Y}".upper()),
        ("Document No.", facts.number),
        ("Date of expiry", f"{facts.expiry_date:%d.%m.%Y}"),
    )
    found = [line("UTOPIA PASSPORT" if facts.kind == "passport" else "UTOPIA IDENTITY CARD", 100, 0)]
    for i, (label, value) in enumerate(shown):
        found += [line(label, 100, 60 + 80 * i), line(value or "", 100, 90 + 80 * i)]
    return found + [line(text, 10, 800 + 40 * i) for i, text in enumerate(facts.mrz)]


def _resident_lines(facts: Facts) -> list[Line]:
    day, address = facts.birth_date, facts.address or ""
    assert day is not None
    rows = (
        f"姓名{facts.name}",
        f"性别{'男' if facts.sex == 'M' else '女'}民族{facts.ethnicity}",
        f"出生{day.year}年{day.month}月{day.day}日",
        f"住址{address[:13]}",
        address[13:],
        f"公民身份号码 {facts.number}",
    )
    return [line(text, 10, 60 * i) for i, text in enumerate(rows) if text]


class FakeOcr:
    """`ocr.Ocr` with a given answer for each call, the last one again after that."""

    version = "fake@1"

    def __init__(self, *answers: Sequence[Line]) -> None:
        self.answers = list(answers)
        self.images: list[Image.Image] = []

    def read(self, image: Image.Image) -> list[Line]:
        """The next answer."""
        self.images.append(image)
        return list(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
