"""A Word document becomes its visible text, with its structure."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import suppress

import pytest
from docx import Document
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.readers import docx as reader
from retrieval.readers.docx import read
from retrieval.readers.reading import FileTooLarge, Reading, UnreadableFile


def saved(fill: Callable[..., object]) -> bytes:
    document = Document()
    fill(document)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def read_filled(fill: Callable[..., object]) -> Reading:
    return read(saved(fill))


def with_part(whole: bytes, part: str, content: bytes) -> bytes:
    """The document with another content of one part."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(file, "w") as changed:
        for name in archive.namelist():
            changed.writestr(name, content if name == part else archive.read(name))
    return file.getvalue()


def test_styles_become_headings_lists_and_paragraphs() -> None:
    def fill(document: Document) -> None:
        document.add_heading("Handbook", 0)
        document.add_heading("Returns", 1)
        document.add_paragraph("To return it:")
        document.add_paragraph("open orders", style="List Bullet")
        document.add_paragraph("pack it", style="List Number")
        document.add_heading("Fees", 2)
        document.add_paragraph("# none\tat\nall")

    reading = read_filled(fill)

    assert reading.title == "Handbook"
    assert reading.text == (
        "# Handbook\n\n# Returns\n\nTo return it:\n\n- open orders\n\n- pack it\n\n## Fees\n\n\\# none at all"
    )


def test_a_table_is_whole_and_merged_cells_are_filled() -> None:
    def fill(document: Document) -> None:
        table = document.add_table(3, 2)
        for i, text in enumerate(["Service", "Price", "Express", "$5", "", "$6"]):
            table.cell(i // 2, i % 2).text = text
        table.cell(1, 0).merge(table.cell(2, 0))
        document.add_table(1, 1).cell(0, 0).text = "a box"

    assert read_filled(fill).text == ("| Service | Price |\n|---|---|\n| Express | $5 |\n| Express | $6 |\n\na box")


def test_what_word_does_not_show_is_not_read() -> None:
    def fill(document: Document) -> None:
        paragraph = document.add_paragraph("kept")
        paragraph.add_run(" evil").font.hidden = True
        paragraph.add_run(" evil").font.size = Pt(1)
        paragraph.add_run(" evil").font.color.rgb = RGBColor(255, 255, 255)
        style = document.styles.add_style("Gone", 1)
        style.font.hidden = True
        document.add_paragraph("evil", style="Gone")
        deleted = OxmlElement("w:moveFrom")
        deleted.append(document.add_paragraph().add_run("evil")._r)
        paragraph._p.append(deleted)

    assert read_filled(fill).text == "kept"


def test_white_text_in_a_table_and_inserted_text_are_read() -> None:
    def fill(document: Document) -> None:
        table = document.add_table(1, 2)
        table.cell(0, 0).paragraphs[0].add_run("Head").font.color.rgb = RGBColor(255, 255, 255)
        table.cell(0, 1).text = "Price"
        inserted = OxmlElement("w:ins")
        paragraph = document.add_paragraph()
        inserted.append(paragraph.add_run("new")._r)
        paragraph._p.append(inserted)
        control = OxmlElement("w:sdt")
        content = OxmlElement("w:sdtContent")
        content.append(document.add_paragraph("controlled")._p)
        control.append(content)
        document.element.body.insert(0, control)

    assert read_filled(fill).text == "controlled\n\n| Head | Price |\n|---|---|\n\nnew"


def test_a_style_based_on_a_heading_is_a_heading() -> None:
    def fill(document: Document) -> None:
        document.styles.add_style("Chapter", 1).base_style = document.styles["Heading 2"]
        document.add_paragraph("One", style="Chapter")
        properties = document.add_paragraph("Two")._p.get_or_add_pPr()
        level = OxmlElement("w:outlineLvl")
        level.set(qn("w:val"), "2")
        properties.append(level)

    assert read_filled(fill).text == "## One\n\n### Two"


def test_an_encrypted_or_damaged_document_is_refused() -> None:
    with pytest.raises(UnreadableFile, match=r"encrypted, or an old \.doc\. Save it without a password"):
        read(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100)
    whole = saved(lambda document: document.add_paragraph("x"))
    for content in (b"x", whole[:500], whole.replace(b"word/document.xml", b"word/documents.xm")):
        with pytest.raises(UnreadableFile, match="not a Word document that can be read"):
            read(content)


def test_a_document_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as part:
        for _ in range(reader.MAX_UNPACKED_BYTES // 1_000_000 + 1):
            part.write(bytes(1_000_000))

    assert len(file.getvalue()) < 200_000
    with pytest.raises(FileTooLarge, match="unpacks to more than 100,000,000 bytes"):
        read(file.getvalue())


def test_entities_are_not_expanded() -> None:
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b SYSTEM "file:///etc/passwd">]><w:document xmlns:w='
        '"http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>x&a;&b;</w:t></w:r></w:p>'
        "</w:body></w:document>"
    )
    empty = saved(lambda document: None)

    assert read(with_part(empty, "word/document.xml", bomb.encode())).text == "x"


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_no_bytes_raise_anything_but_the_reported_error(data: st.DataObject) -> None:
    whole = saved(lambda document: document.add_table(2, 2).cell(0, 0).add_paragraph("x", style="List Bullet"))
    part = data.draw(st.sampled_from(["word/document.xml", "word/styles.xml", "[Content_Types].xml", "_rels/.rels"]))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        content = archive.read(part)
    start, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 40))
    damage = data.draw(st.sampled_from([b"", b'w:val="\xc2\xb2"', b"</w:p>", b"9999999999"]) | st.binary(max_size=9))

    with suppress(UnreadableFile):
        assert isinstance(read(with_part(whole, part, content[:start] + damage + content[start + length :])), Reading)
    with suppress(UnreadableFile):
        assert isinstance(read(whole[:start] + damage + whole[start + length :]), Reading)
