"""Word documents (.docx, ECMA-376) to Markdown by their styles. Ignores images, footnotes, headers, footers, comments.

Deleted text of tracked changes, text marked as hidden, and white or tiny text on the bare page are not read: nobody
sees them, but a language model would.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from retrieval.readers.reading import FileTooLarge, Reading, UnreadableFile
from retrieval.readers.text import escape, one_line, table

MAX_UNPACKED_BYTES = 100_000_000
MAX_PARTS = 5_000
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # what Word wraps around an encrypted document, and older documents are
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_UNSEEN = (
    *(f"{_W}del", f"{_W}moveFrom"),
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",  # the same text for older programs
)
_MIN_HALF_POINTS = 5
_MAX_STYLE_DEPTH = 12


def read(content: bytes) -> Reading:
    """Read a document. The title is the paragraph of style Title, else its one first-level heading, else its property.

    Raises:
        FileTooLarge: it unpacks to more than 100 MB.
        UnreadableFile: encrypted, or not a Word document.
    """
    from docx import Document

    _check_archive(content)
    try:
        opened = Document(io.BytesIO(content))
        page = _Page(_read_styles(opened.styles.element))
        blocks = list(page.blocks(opened.element.body))
        stated = opened.core_properties.title or ""
    except Exception as error:  # python-docx and lxml raise what they come across
        raise UnreadableFile("not a Word document that can be read", "Save it again as .docx.") from error
    first = page.headings[0] if len(page.headings) == 1 else stated
    return Reading("\n\n".join(block for block in blocks if block), title=one_line(page.title or first))


def _check_archive(content: bytes) -> None:
    if content.startswith(_OLE):
        raise UnreadableFile("encrypted, or an old .doc", "Save it without a password as .docx.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise UnreadableFile("not a Word document that can be read", "Save it again as .docx.") from None
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise FileTooLarge(f"unpacks to more than {MAX_UNPACKED_BYTES:,} bytes", "Split it, or take images out.")


@dataclass(frozen=True)
class _Style:
    """What a paragraph or character style says, with what it inherits. `level` is 0 for text that is no heading."""

    name: str = ""
    level: int = 0
    is_item: bool = False
    is_hidden: bool = False


def _read_styles(styles: Any) -> dict[str, _Style]:
    by_id = {style.get(f"{_W}styleId"): style for style in styles.iterchildren(f"{_W}style")}
    return {style_id: _resolve(style_id, by_id) for style_id in by_id}


def _resolve(style_id: str | None, by_id: dict[str | None, Any]) -> _Style:
    name, level, is_item, is_hidden = "", 0, False, False
    for _ in range(_MAX_STYLE_DEPTH):
        style = by_id.get(style_id)
        if style is None:
            break
        own = (_value(style.find(f"{_W}name")) or "").lower()
        heading = re.fullmatch(r"heading ([1-9])", own)
        name = name or own
        level = level or (int(heading[1]) if heading else 1 if own == "title" else _outline_level(style))
        is_item = is_item or own.startswith(("list bullet", "list number")) or _is_numbered(style)
        is_hidden = is_hidden or _is_on(style.find(f"{_W}rPr/{_W}vanish"))
        style_id = _value(style.find(f"{_W}basedOn"))
    return _Style(name, level, is_item, is_hidden)


def _value(element: Any) -> str | None:
    return None if element is None else element.get(f"{_W}val")


def _is_on(element: Any) -> bool:
    return element is not None and _value(element) not in ("0", "false", "off")


def _outline_level(owner: Any) -> int:
    value = _value(owner.find(f"{_W}pPr/{_W}outlineLvl")) or ""
    return int(value) + 1 if re.fullmatch("[0-8]", value) else 0


def _is_numbered(owner: Any) -> bool:
    return (_value(owner.find(f"{_W}pPr/{_W}numPr/{_W}numId")) or "0") != "0"


class _Page:
    """Blocks of a body, and the headings met on the way."""

    def __init__(self, styles: dict[str, _Style]) -> None:
        self._styles = styles
        self.title = ""
        self.headings: list[str] = []  # of the first level

    def blocks(self, parent: Any) -> Iterator[str]:
        """Markdown of paragraphs and tables, those inside content controls and inserted text too."""
        for child in parent:
            if child.tag == f"{_W}p":
                yield self._paragraph(child)
            elif child.tag == f"{_W}tbl":
                yield from self._table(child)
            elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml"):
                yield from self.blocks(child)

    def _paragraph(self, paragraph: Any) -> str:
        style = self._style(paragraph.find(f"{_W}pPr/{_W}pStyle"))
        text = one_line(self._text(paragraph, style))
        level = min(_outline_level(paragraph) or style.level, 6)
        if not text:
            return ""
        if level:
            if style.name == "title":
                self.title = self.title or text
            elif level == 1:
                self.headings.append(text)
            return f"{'#' * level} {text}"
        if style.is_item or _is_numbered(paragraph):
            depth = _value(paragraph.find(f"{_W}pPr/{_W}numPr/{_W}ilvl")) or "0"
            return f"{'  ' * int(depth[:1]) if depth.isdecimal() else ''}- {text}"
        return escape(text)

    def _style(self, reference: Any) -> _Style:
        return self._styles.get(_value(reference) or "", _Style())

    def _text(self, paragraph: Any, style: _Style) -> str:
        from lxml import etree

        on_page = paragraph.find(f"{_W}pPr/{_W}shd") is None and next(paragraph.iterancestors(f"{_W}tbl"), None) is None
        parts: list[str] = []
        walk = etree.iterwalk(paragraph, events=("start",))
        for _, element in walk:
            if element.tag in _UNSEEN or (
                element.tag == f"{_W}r" and self._is_hidden(element, style=style, on_page=on_page)
            ):
                walk.skip_subtree()
            elif element.tag == f"{_W}t":
                parts.append(element.text or "")
            elif element.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr", f"{_W}p"):
                parts.append(" ")
            elif element.tag == f"{_W}noBreakHyphen":
                parts.append("-")
        return "".join(parts)

    def _is_hidden(self, run: Any, *, style: _Style, on_page: bool) -> bool:
        said = run.find(f"{_W}rPr/{_W}vanish")
        if said is not None:
            return _is_on(said)
        size = _value(run.find(f"{_W}rPr/{_W}sz")) or ""
        white = (_value(run.find(f"{_W}rPr/{_W}color")) or "").upper() == "FFFFFF"
        shaded = any(run.find(f"{_W}rPr/{_W}{name}") is not None for name in ("shd", "highlight"))
        return (
            style.is_hidden
            or self._style(run.find(f"{_W}rPr/{_W}rStyle")).is_hidden
            or (size.isdecimal() and int(size[:9]) < _MIN_HALF_POINTS)
            or (white and on_page and not shaded)
        )

    def _table(self, element: Any) -> Iterator[str]:
        rows: list[list[str]] = []
        for row in element.iter(f"{_W}tr"):
            if next(row.iterancestors(f"{_W}tbl")) is not element:
                continue  # a table in a cell is text of the cell
            cells: list[str] = []
            for cell in row.iter(f"{_W}tc"):
                if next(cell.iterancestors(f"{_W}tr")) is not row:
                    continue
                merged = cell.find(f"{_W}tcPr/{_W}vMerge")
                if merged is not None and _value(merged) in (None, "continue") and rows and len(cells) < len(rows[-1]):
                    text = rows[-1][len(cells)]
                else:
                    paragraphs = cell.iter(f"{_W}p")
                    text = " ".join(self._text(p, self._style(p.find(f"{_W}pPr/{_W}pStyle"))) for p in paragraphs)
                span = _value(cell.find(f"{_W}tcPr/{_W}gridSpan")) or "1"
                cells += [one_line(text)] * (min(int(span[:3]), 20) if span.isdecimal() else 1)
            rows.append(cells)
        rows = [row for row in rows if any(row)]
        if any(len(row) > 1 for row in rows):
            yield table(rows)
        else:  # it only places text on the page
            for cell in element.iter(f"{_W}tc"):
                yield from self.blocks(cell)
