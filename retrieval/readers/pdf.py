"""PDF to Markdown from the places and sizes of its letters. Ignores images, annotations and what a scan shows.

Larger or bold lines are headings, ruled grids are tables; lines that many pages share at their edges, and the lines of
a table of contents, are left out. Text outside the page, tiny text, and white text on nothing are not read: nobody sees
them, but a language model would.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from retrieval.readers.reading import FileTooLarge, Reading, UnreadableFile
from retrieval.readers.text import escape, one_line, table

MAX_PAGES = 200  # at about 0.15 s of processor time each, half of what the sandbox allows
_MIN_SIZE_PT = 3.0
_MARGIN = 0.1  # of a page's height: where running heads and page numbers are
_SPACE_RATIO = 0.15  # of a letter's size: a wider gap parts words where the file has no space, as TeX's have none
_HEADING_SCALE = 1.12  # a heading's size over the body's, at least
_MAX_HEADING_WORDS = 20
_BULLET = re.compile(r"^[•◦▪‣●○■–·*-]\s+")
_ITEM = re.compile(r"^(?:[•◦▪‣●○■–·*-]|\(?\d{1,3}[.)])\s+\S")
_LEADER = re.compile(r"(?:\. ?){6}[ivxl\d]*$")  # "Fees . . . . . . 12"
_UNNAMED = re.compile(r"\(cid:\d+\)")  # what pdfminer writes for a sign that the font does not name
_HAN = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")


@dataclass(frozen=True)
class Line:
    """A line of text, or a table (`rows`), with its place: points from the top of page number `page`."""

    text: str
    size: float
    bold: bool
    page: int
    top: float
    bottom: float
    in_margin: bool = False
    rows: tuple[tuple[str, ...], ...] = ()


def read(content: bytes) -> Reading:
    """Read a document. The title is the first of its largest headings, else what its properties say.

    Raises:
        FileTooLarge: more than 200 pages.
        UnreadableFile: encrypted with a password, not a PDF, or without text (a scan).
    """
    import pdfplumber
    from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
    from pdfplumber.utils.exceptions import PdfminerException

    try:
        with pdfplumber.open(io.BytesIO(content)) as pdf:
            if len(pdf.pages) > MAX_PAGES:
                raise FileTooLarge(f"more than {MAX_PAGES} pages", "Split it.")
            lines: list[Line] = []
            for page in pdf.pages:
                lines += _lines(page)
                page.close()
            stated = pdf.metadata.get("Title")
    except UnreadableFile:
        raise
    except Exception as error:  # noqa: BLE001  (pdfminer raises what it comes across)
        cause = error.args[0] if isinstance(error, PdfminerException) and error.args else error
        if isinstance(cause, PDFPasswordIncorrect | PDFEncryptionError):
            raise UnreadableFile("encrypted with a password", "Save it without one.") from None
        raise UnreadableFile("not a PDF that can be read", "Print it to PDF again.") from None
    if not lines:
        raise UnreadableFile("no text: its pages are images", "Run text recognition (OCR) over it first.")
    return _to_reading(_without_running_lines(lines), stated if isinstance(stated, str) else "")


# --- what a page holds -----------------------------------------------------------------------------------------------


def _lines(page: Any) -> Iterator[Line]:
    """Lines and tables of a page in the order in which the file draws them, which keeps columns apart."""
    seen = page.filter(lambda item: item["object_type"] != "char" or _is_visible(item, page))
    tables = [(found.bbox, rows) for found in _find_tables(seen) if (rows := _cells(found))]
    told: set[int] = set()
    held: list[dict[str, Any]] = []
    words = seen.extract_words(use_text_flow=True, x_tolerance_ratio=_SPACE_RATIO, extra_attrs=["size", "fontname"])
    for word in words:
        inside = next((i for i, (box, _) in enumerate(tables) if _is_inside(word, box)), None)
        if held and (inside is not None or not _continues(held[-1], word)):
            yield _to_line(held, page)
            held = []
        if inside is None:
            held.append(word)
        elif inside not in told:
            told.add(inside)
            (_, top, _, bottom), rows = tables[inside]
            yield Line("", 0.0, False, page.page_number, top, bottom, rows=rows)
    if held:
        yield _to_line(held, page)


def _find_tables(page: Any) -> list[Any]:
    return list(page.find_tables()) if len(page.edges) >= 4 else []


def _cells(found: Any) -> tuple[tuple[str, ...], ...]:
    rows = tuple(tuple(one_line(cell or "") for cell in row) for row in found.extract())
    rows = tuple(row for row in rows if any(row))
    return rows if len(rows) > 1 and len(rows[0]) > 1 else ()


def _is_visible(char: dict[str, Any], page: Any) -> bool:
    left, top, right, bottom = page.bbox
    x, y = (char["x0"] + char["x1"]) / 2, (char["top"] + char["bottom"]) / 2
    if not (left <= x <= right and top <= y <= bottom) or char["size"] < _MIN_SIZE_PT:
        return False
    return not _is_white(char) or any(
        item["x0"] <= x <= item["x1"] and item["top"] <= y <= item["bottom"] and not _is_white(item)
        for item in (*page.rects, *page.curves, *page.images)
    )


def _is_white(item: dict[str, Any]) -> bool:
    colour = item.get("non_stroking_color")
    parts = colour if isinstance(colour, tuple | list) else (colour,)
    if not all(isinstance(part, int | float) for part in parts):
        return False
    return all(part <= 0.02 for part in parts) if len(parts) == 4 else all(part >= 0.98 for part in parts)


def _is_inside(word: dict[str, Any], box: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = box
    x, y = (word["x0"] + word["x1"]) / 2, (word["top"] + word["bottom"]) / 2
    return bool(left <= x <= right and top <= y <= bottom)


def _continues(before: dict[str, Any], word: dict[str, Any]) -> bool:
    level = abs(before["bottom"] - word["bottom"]) < 0.5 * max(before["size"], word["size"])
    return bool(level and -1 <= word["x0"] - before["x1"] < 4 * word["size"])


def _to_line(words: Sequence[dict[str, Any]], page: Any) -> Line:
    top, bottom = min(word["top"] for word in words), max(word["bottom"] for word in words)
    height = page.height
    return Line(
        one_line(_UNNAMED.sub("", " ".join(word["text"] for word in words))),
        size=round(2 * max(word["size"] for word in words)) / 2,
        bold=all(re.search("bold|black|heavy", word["fontname"], re.IGNORECASE) for word in words),
        page=page.page_number,
        top=top,
        bottom=bottom,
        in_margin=bottom < _MARGIN * height or top > (1 - _MARGIN) * height,
    )


# --- what the lines are ----------------------------------------------------------------------------------------------


def _without_running_lines(lines: Sequence[Line]) -> list[Line]:
    """Leave out lines in the margins that three pages or more share, their numbers apart."""
    pages: dict[str, set[int]] = {}
    for line in lines:
        if line.in_margin:
            pages.setdefault(_unnumbered(line.text), set()).add(line.page)
    return [
        line
        for line in lines
        if not (line.in_margin and len(pages[_unnumbered(line.text)]) >= 3) and not _LEADER.search(line.text)
    ]


def _unnumbered(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _to_reading(lines: Sequence[Line], stated: str) -> Reading:
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0]
    larger = sorted({line.size for line in lines if _is_heading(line, body) and line.size > body}, reverse=True)
    levels = {size: min(level, 5) for level, size in enumerate(larger, start=1)}
    blocks: list[str] = []
    titles: list[str] = []
    for group in _groups(lines, body):
        first = group[0]
        text = _join([line.text for line in group])
        if first.rows:
            blocks.append(table(first.rows))
        elif _is_heading(first, body):
            level = levels.get(first.size, min(len(levels) + 1, 6))
            titles += [text] if level == 1 else []
            blocks.append(f"{'#' * level} {text}")
        else:
            blocks.append(_BULLET.sub("- ", text) if _ITEM.match(text) else escape(text))
    return Reading("\n\n".join(blocks), title=titles[0] if titles and larger else one_line(stated))


def _is_heading(line: Line, body: float) -> bool:
    large = line.size >= _HEADING_SCALE * body
    short = 0 < len(line.text.split()) <= _MAX_HEADING_WORDS and len(line.text) <= 200
    return short and (large or (line.bold and line.size >= body and line.text[-1] not in ".:;,。：；，"))


def _groups(lines: Sequence[Line], body: float) -> Iterator[list[Line]]:
    """Lines that are one paragraph, item, heading or table."""
    held: list[Line] = []
    for line in lines:
        if held and not _belongs(held[-1], line, body):
            yield held
            held = []
        if held and line.rows:
            rows = line.rows[1:] if line.rows[0] == held[0].rows[0] else line.rows
            held = [replace(line, rows=held[0].rows + rows)]
        else:
            held.append(line)
    if held:
        yield held


def _belongs(before: Line, line: Line, body: float) -> bool:
    if before.rows or line.rows:  # a table goes on at the top of the next page
        same_columns = bool(before.rows and line.rows) and len(before.rows[0]) == len(line.rows[0])
        return same_columns and line.page == before.page + 1
    if _ITEM.match(line.text) or (
        (line.size, line.bold) != (before.size, before.bold) and (_is_heading(line, body) or _is_heading(before, body))
    ):
        return False
    if line.page != before.page:
        return not _is_heading(line, body) and before.text[-1] not in ".!?:。！？："
    return -before.size < line.top - before.bottom < 0.6 * line.size


def _join(texts: Sequence[str]) -> str:
    """Lines as one text: a word parted at a line's end becomes whole, Chinese lines meet without a space."""
    joined = texts[0]
    for text in texts[1:]:
        if re.search(r"[a-z]-$", joined) and text[:1].islower():
            joined = joined[:-1] + text
        else:
            apart = "" if _HAN.match(joined[-1:]) and _HAN.match(text[:1]) else " "
            joined += apart + text
    return joined
