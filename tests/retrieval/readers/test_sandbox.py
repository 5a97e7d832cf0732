"""A reader in a child gives what it would give here, and its death is a reported error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from retrieval.readers.pdf import read
from retrieval.readers.reading import FileTooLarge, UnreadableFile
from retrieval.readers.sandbox import read_apart


def test_a_child_reads_as_the_reader_does(draw: Callable[..., str], make_pdf: Callable[..., bytes]) -> None:
    content = make_pdf([draw("Returns", at=(50, 700), size=20) + draw("Thirty days in all.", at=(50, 600))])

    assert read_apart("pdf", content) == read(content)


def test_a_childs_error_is_raised_here(make_pdf: Callable[..., bytes]) -> None:
    with pytest.raises(UnreadableFile, match=r"^not a Word document that can be read\. Save it again as \.docx\.$"):
        read_apart("docx", b"x")
    with pytest.raises(FileTooLarge, match="more than 200 pages"):
        read_apart("pdf", make_pdf([""] * 201))


def test_a_child_that_dies_is_a_reported_error() -> None:
    with pytest.raises(UnreadableFile, match="cannot be read within the limits of time and memory"):
        read_apart("no_such_reader", b"x")
