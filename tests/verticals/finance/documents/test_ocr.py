"""The real reader on two specimens: one travel document, one in Chinese, both degraded. Skipped without the extra."""

from __future__ import annotations

import importlib.util
from datetime import date

import pytest

from tests.verticals.finance.documents.fakes import TODAY
from tests.verticals.finance.documents.test_reading import printed, values
from verticals.contract import Unavailable
from verticals.finance.documents import cards
from verticals.finance.documents.degrade import photograph
from verticals.finance.documents.holders import Kind, invent
from verticals.finance.documents.ocr import RapidOcr, open_ocr
from verticals.finance.documents.reading import read_document

needs_ocr = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None, reason="needs the extra `documents`: pip install -e '.[documents]'"
)


@pytest.fixture(scope="module")
def ocr() -> RapidOcr:
    return open_ocr()


@needs_ocr
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["passport", "resident_card"])
def test_a_photographed_specimen_is_read_in_full(ocr: RapidOcr, kind: Kind) -> None:
    facts = invent(kind, seed=1000, today=TODAY)
    try:
        card = cards.draw(facts)
    except Unavailable as missing:
        pytest.skip(str(missing))

    found = read_document(photograph(card, grade=2, seed=1000), ocr, today=TODAY)

    assert values(found) == printed(facts)
    assert found.mrz is None or found.mrz.valid


def test_specimens_and_photographs_repeat_with_their_seed() -> None:
    facts = invent("passport", seed=7, today=TODAY)
    try:
        card = cards.draw(facts)
    except Unavailable as missing:
        pytest.skip(str(missing))

    assert facts == invent("passport", seed=7, today=TODAY) != invent("passport", seed=8, today=TODAY)
    assert photograph(card, grade=2, seed=7) == photograph(cards.draw(facts), grade=2, seed=7)
    assert facts.birth_date is not None
    assert facts.birth_date < date(TODAY.year - 18, TODAY.month, TODAY.day)


def test_an_unknown_grade_is_refused() -> None:
    from PIL import Image

    with pytest.raises(ValueError, match=r"grade: must be one of \(0, 1, 2, 3\) \(got 4\)"):
        photograph(Image.new("RGB", (9, 9)), grade=4, seed=0)
