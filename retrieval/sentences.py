"""A passage to sentences, each with the stretch of the passage that says it. Ignores what they mean.

Reads English and Chinese marks; a Chinese semicolon ends a sentence, for what stands on its sides stands by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_CLOSING = "”’」』）》"  # belongs to the sentence that it closes
SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bNo\.)(?<![ap]\.m\.)\s+"
    rf"(?=[\"'(“「]?[A-Z0-9£$€{_HAN}])|"
    rf"(?:(?<=[。！？；])|(?<=[。！？；][{_CLOSING}]))(?![。！？；{_CLOSING}])\s*(?=\S)"
)
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_MARK = re.compile(r"\*\*|__|`")


@dataclass(frozen=True)
class Sentence:
    """Plain text, and the stretch `passage[start:end]` that says it, mark-up and all.

    Of a list that is one sentence the stretch runs from its lead to its last item; of a table row it is the row.
    """

    text: str
    start: int
    end: int


def split_sentences(passage: str, *, heading: str = "") -> list[Sentence]:
    """Sentences of a passage in order, without mark-up.

    A passage is as `retrieval.chunking` writes it: one paragraph, list item or table row a line. A line that ends in a
    colon joins the list below it, because neither says much alone, and `heading` joins a list that opens the passage:
    under "Not covered" the bare item "Damage from drops" would say the opposite. Table rows name their columns.
    """
    sentences: list[Sentence] = []
    lead = f"{heading}:" if heading else ""  # or "To return an item:", waiting for its list
    lead_start: int | None = None
    items: list[Sentence] = []
    header: list[str] = []

    def close_list() -> None:
        if items:
            text = _join([item.text.rstrip(".;。；") for item in items], lead=lead)
            sentences.append(Sentence(text, items[0].start if lead_start is None else lead_start, items[-1].end))
        items.clear()

    for line in _plain_lines(passage):
        if line.text.startswith("|"):
            close_list()
            lead, lead_start = "", None
            cells = [cell.strip() for cell in line.text.strip("|").split("|")]
            if not header:
                header = cells
            elif not set(line.text) <= set("|-: "):
                row = _row(header, cells)
                sentences.append(Sentence(row, *line.stretch(0, len(line.text))))
            continue
        header = []
        if item := _ITEM.match(line.text):
            if lead:
                items.append(Sentence(line.text[item.end() :], *line.stretch(item.end(), len(line.text))))
            else:
                sentences.extend(line.sentences(item.end()))
            continue
        close_list()
        *whole, last = line.sentences(0)
        sentences.extend(whole)
        if last.text.endswith((":", "：")):
            lead, lead_start = last.text, last.start
        else:
            lead, lead_start = "", None
            sentences.append(last)
    close_list()
    return sentences


def _join(items: Sequence[str], *, lead: str = "") -> str:
    """A list as one sentence, with the marks of its language."""
    if re.search(f"[{_HAN}]", f"{lead}{items[0]}"):
        return f"{lead.removesuffix(':').removesuffix('：')}：{'；'.join(items)}。" if lead else f"{'；'.join(items)}。"
    text = f"{lead} {'; '.join(items)}".strip()
    return text if text.endswith(".") else f"{text}."  # "1 p.m."


def _row(header: Sequence[str], cells: Sequence[str]) -> str:
    """A row of a table as one sentence that names its columns."""
    colon = "：" if re.search(f"[{_HAN}]", header[0]) else ": "
    return _join([f"{name}{colon}{cell}" for name, cell in zip(header, cells, strict=False)])


@dataclass(frozen=True)
class _Line:
    """A line `raw` at character `at` of the passage, and without its mark-up; `text[i]` is `raw[places[i]]`."""

    raw: str
    at: int
    text: str
    places: list[int]

    def stretch(self, start: int, end: int) -> tuple[int, int]:
        """Where the passage has `text[start:end]`, with the marks around it but no space."""
        low = self.places[start - 1] + 1 if start else 0
        high = self.places[end] if end < len(self.text) else len(self.raw)
        piece = self.raw[low:high]
        return self.at + low + len(piece) - len(piece.lstrip()), self.at + low + len(piece.rstrip())

    def sentences(self, start: int) -> Iterator[Sentence]:
        """The sentences from character `start` on."""
        for gap in SENTENCE_END.finditer(self.text, start):
            yield Sentence(self.text[start : gap.start()], *self.stretch(start, gap.start()))
            start = gap.end()
        yield Sentence(self.text[start:], *self.stretch(start, len(self.text)))


def _plain_lines(passage: str) -> Iterator[_Line]:
    """Lines without links' targets, bold and code marks; headings, rules and empty lines vanish."""
    at = 0
    for raw in passage.splitlines(keepends=True):
        marks = {i for link in _LINK.finditer(raw) for i in (link.start(), *range(link.end(1), link.end()))}
        marks |= {i for mark in _MARK.finditer(raw) for i in range(*mark.span())}
        kept = [i for i in range(len(raw)) if i not in marks]
        unmarked = "".join(raw[i] for i in kept)
        text = unmarked.strip()
        if text and not text.startswith("#") and not set(text) <= set("-*_="):
            first = len(unmarked) - len(unmarked.lstrip())
            yield _Line(raw, at, text, kept[first : first + len(text)])
        at += len(raw)
