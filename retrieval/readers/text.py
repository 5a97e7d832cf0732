"""Bytes to text, and text to safe Markdown: encodings, invisible characters, marks at line starts. Ignores structure.

Reads UTF-8, UTF-16, GB18030 and Windows-1252 (which holds Latin-1's letters): what English and Chinese shops export.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Sequence

from retrieval.readers.reading import UnreadableFile

# Control, zero-width and direction characters, tags, variation selectors: a language model reads what nobody sees.
_INVISIBLE = re.compile(
    "[\0-\x08\x0e-\x1f\x7f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_LINE_MARK = re.compile(r"^( {0,3})(#|`{3}|~{3})", re.MULTILINE)
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_GB2312_SHARE = 0.9  # of the signs of a Chinese text are of the older, smaller set; of misread Latin-1, hardly any


def decode(content: bytes) -> str:
    """The text of a file; lines end in a line feed.

    Raises:
        UnreadableFile: it is not text in one of the encodings above.
    """
    text = _decode(content).replace("\r\n", "\n").replace("\r", "\n")
    if any(unicodedata.category(sign) == "Cc" for sign in set(text) - set("\t\n\v\f\x85")):
        raise UnreadableFile("not a text file", "Save it as UTF-8 text.")
    return text


def visible(text: str) -> str:
    """Text without what no reader would see: control, zero-width, direction and tag characters."""
    return _INVISIBLE.sub("", text)


def _decode(content: bytes) -> str:
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            return _strictly(content, encoding)
    for encoding in (*(_utf16(content) if b"\0" in content else ()), "utf-8"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return _strictly(content, "cp1252")
    signs = "".join(sign for sign in text if not sign.isascii())
    common = signs.encode("gb2312", "ignore").decode("gb2312")
    return text if len(common) >= _GB2312_SHARE * len(signs) else _strictly(content, "cp1252")


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise UnreadableFile("not text in UTF-8, UTF-16, GB18030 or Windows-1252", "Save it as UTF-8.") from None


def _utf16(content: bytes) -> tuple[str, ...]:
    """UTF-16 without a mark: the empty halves of ASCII characters tell the order of the bytes."""
    return ("utf-16-be",) if content[::2].count(0) > content[1::2].count(0) else ("utf-16-le",)


def one_line(text: str) -> str:
    """Text with every run of white space as one space, for headings, cells and paragraphs."""
    return " ".join(text.split())


def escape(text: str) -> str:
    """Plain text as Markdown: lines that would open a heading or a code block get a backslash."""
    return _LINE_MARK.sub(r"\1\\\2", text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first as its header, as wide as the widest. Empty without a cell."""
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    header = [*rows[0], *[""] * (width - len(rows[0]))]
    cells = [[one_line(cell).replace("|", "\\|") for cell in row] for row in (header, *rows[1:])]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * width, *lines[1:]])
