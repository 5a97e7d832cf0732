"""A PDF becomes its visible text, with the structure that places and sizes show."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.readers import docx, pdf
from retrieval.readers.pdf import read
from retrieval.readers.reading import FileTooLarge, UnreadableFile

Draw = Callable[..., str]
MakePdf = Callable[..., bytes]


def table(draw: Draw, cells: list[list[str]], *, top: int) -> str:
    """A ruled grid of cells, 150 x 20 points each."""
    height, width = 20 * len(cells), 150 * len(cells[0])
    rules = [f"50 {top - y} m {50 + width} {top - y} l S\n" for y in range(0, height + 1, 20)]
    rules += [f"{50 + x} {top} m {50 + x} {top - height} l S\n" for x in range(0, width + 1, 150)]
    texts = [draw(cells[i][j], at=(55 + 150 * j, top - 15 - 20 * i)) for i, j in product(range(len(cells)), range(2))]
    return "".join(rules + texts)


def test_sizes_make_headings_and_gaps_make_paragraphs(draw: Draw, make_pdf: MakePdf) -> None:
    page = (
        draw("Returns policy", at=(50, 780), size=20)
        + draw("You have 30 days from deli-", at=(50, 750))
        + draw("very. Ask first.", at=(50, 737))
        + draw("Then post it.", at=(50, 700))
        + draw("Fees", at=(50, 660), size=14)
        + draw("- none for members", at=(50, 640))
        + draw("at all", at=(60, 627))
        + draw("- $5 for guests", at=(50, 614))
        + draw("In a hurry", at=(50, 580), bold=True)
        + draw("Call us.", at=(50, 560))
    )

    reading = read(make_pdf([page], title="Untitled"))

    assert reading.title == "Returns policy"
    assert reading.text == (
        "# Returns policy\n\nYou have 30 days from delivery. Ask first.\n\nThen post it.\n\n"
        "## Fees\n\n- none for members at all\n\n- $5 for guests\n\n### In a hurry\n\nCall us."
    )


def test_a_ruled_table_is_whole_and_goes_on_over_the_page(draw: Draw, make_pdf: MakePdf) -> None:
    first = draw("Prices are:", at=(50, 300)) + table(draw, [["Service", "Price"], ["Express", "$5"]], top=200)
    second = table(draw, [["Service", "Price"], ["Air", "$9"]], top=800) + draw("The end.", at=(50, 600))

    assert read(make_pdf([first, second])).text == (
        "Prices are:\n\n| Service | Price |\n|---|---|\n| Express | $5 |\n| Air | $9 |\n\nThe end."
    )


def test_columns_are_read_one_after_the_other(draw: Draw, make_pdf: MakePdf) -> None:
    left = draw("One two", at=(50, 700)) + draw("three.", at=(50, 687))
    right = draw("Four five", at=(300, 700)) + draw("six.", at=(300, 687))

    assert read(make_pdf([left + right])).text == "One two three.\n\nFour five six."


def test_gaps_part_words_where_the_file_has_no_space(make_pdf: MakePdf) -> None:
    page = "BT /F1 11 Tf 50 700 Td [(Thirty) -300 (da) 20 (ys) -300 (only.)] TJ ET\n"

    assert read(make_pdf([page])).text == "Thirty days only."


def test_running_heads_page_numbers_and_tables_of_contents_are_left_out(draw: Draw, make_pdf: MakePdf) -> None:
    pages = [
        draw("Maple & Pine", at=(50, 815), size=9)
        + draw(f"Words of page {number}.", at=(50, 700))
        + draw("Fees . . . . . . . . 12", at=(50, 600))
        + draw(f"Page {number}", at=(280, 30), size=9)
        for number in (1, 2, 3)
    ]

    assert read(make_pdf(pages)).text == "Words of page 1.\n\nWords of page 2.\n\nWords of page 3."


def test_what_a_page_does_not_show_is_not_read(draw: Draw, make_pdf: MakePdf) -> None:
    page = (
        draw("kept", at=(50, 700))
        + draw("evil", at=(50, 680), grey=1)
        + draw("evil", at=(50, 660), size=1)
        + draw("evil", at=(700, 640))
        + "0.2 g 50 600 200 20 re f\n"
        + draw("white on a bar", at=(55, 605), grey=1)
    )

    assert read(make_pdf([page])).text == "kept\n\nwhite on a bar"


def test_what_cannot_be_read_is_refused_with_the_remedy(draw: Draw, make_pdf: MakePdf) -> None:
    with pytest.raises(UnreadableFile, match=r"encrypted with a password\. Save it without one"):
        read(make_pdf([draw("x", at=(50, 700))], encrypted=True))
    with pytest.raises(UnreadableFile, match=r"no text: its pages are images\. Run text recognition"):
        read(make_pdf([""]))
    with pytest.raises(UnreadableFile, match="not a PDF that can be read"):
        read(b"%PDF-1.7")
    with pytest.raises(FileTooLarge, match="more than 200 pages"):
        read(make_pdf([""] * (pdf.MAX_PAGES + 1)))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_bytes_raise_anything_but_the_reported_error(data: st.DataObject, draw: Draw, make_pdf: MakePdf) -> None:
    whole = make_pdf([draw("Some words", at=(50, 700)) + table(draw, [["a", "b"], ["c", "d"]], top=600)])
    start, length = data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, 60)))
    damage = data.draw(st.binary(max_size=60))
    content = data.draw(st.sampled_from([whole[:start], whole[:start] + damage + whole[start + length :], damage]))

    with suppress(UnreadableFile):
        assert read(content).text
    with suppress(UnreadableFile):
        docx.read(b"PK\x03\x04" + content)
