"""Markdown to passages along its structure: headings, paragraphs, lists, tables, code. Ignores inline marks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

MAX_WORDS = 120  # about 160 word pieces: title, breadcrumb and text stay inside MiniLM's 256

_HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,9}[.)])\s+")
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_SENTENCE = re.compile(r".+?(?:[.!?]\s+(?=[A-Z0-9\"'(])|[。！？]|$)")
_HAN = r"\u3040-\u30ff\u3400-\u9fff"  # Han and kana, written without spaces: a sign is a word
_WORD = re.compile(rf"[{_HAN}]|[^\W{_HAN}]+")
_UNBROKEN = re.compile(rf"[{_HAN}]\s*|[^\s{_HAN}]+\s*")

Kind = Literal["heading", "paragraph", "item", "table", "code"]


@dataclass(frozen=True)
class Block:
    """A unit of Markdown. `level` is the depth of a heading, else 0."""

    kind: Kind
    text: str
    level: int = 0


@dataclass(frozen=True)
class Chunk:
    """Blocks of one section, joined. `heading` is the breadcrumb above them ("Delivery > Islands")."""

    heading: str
    text: str


def count_words(text: str) -> int:
    """Words in `text`; each Han or kana sign counts as one."""
    return sum(1 for _ in _WORD.finditer(text))


def split_markdown(text: str, *, title: str = "", max_words: int = MAX_WORDS) -> list[Chunk]:
    """Cut Markdown into passages that never cross a heading.

    Paragraphs and list items are packed up to `max_words`; a longer one is cut between sentences, and a sentence that
    is still longer at its spaces. Tables, fenced code and strings without a space stay whole, whatever their size.
    Every word of the body appears in exactly one chunk.

    Args:
        text: Markdown.
        title: The document's title; a heading equal to it is left out of the breadcrumb.
        max_words: Upper bound of a chunk without tables and code, at least 1.
    Raises:
        ValueError: `max_words` is below 1.
    """
    if max_words < 1:
        raise ValueError(f"max_words: must be at least 1 (got {max_words}).")
    chunks: list[Chunk] = []
    trail: list[tuple[int, str]] = []  # (level, heading) from the outermost
    section: list[Block] = []

    def close() -> None:
        crumb = " > ".join(name for _, name in trail if name and name != title)
        chunks.extend(Chunk(crumb, body) for body in _pack(section, max_words))
        section.clear()

    for block in _blocks(text.splitlines()):
        if block.kind == "heading":
            close()
            trail = [(level, name) for level, name in trail if level < block.level] + [(block.level, block.text)]
        else:
            section.append(block)
    close()
    return chunks


def _blocks(lines: list[str]) -> Iterator[Block]:
    """Group lines into blocks."""
    i = 0
    while i < len(lines):
        line = lines[i]
        if not line.strip():
            i += 1
        elif fence := _FENCE.match(line):
            end = next((j for j in range(i + 1, len(lines)) if _closes(lines[j], fence[1])), len(lines) - 1)
            yield Block("code", "\n".join(lines[i : end + 1]))
            i = end + 1
        elif heading := _HEADING.match(line):
            yield Block("heading", (heading[2] or "").strip(), len(heading[1]))
            i += 1
        elif _starts_table(lines, i):
            end = i + 2
            while end < len(lines) and "|" in lines[end]:
                end += 1
            yield Block("table", "\n".join(line.strip() for line in lines[i:end]))
            i = end
        else:
            end = i + 1
            while end < len(lines) and not _starts_block(lines, end):
                end += 1
            kind: Kind = "item" if _LIST_ITEM.match(line) else "paragraph"
            yield Block(kind, " ".join(line.strip() for line in lines[i:end]))
            i = end


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def _starts_table(lines: list[str], i: int) -> bool:
    return "|" in lines[i] and i + 1 < len(lines) and "|" in lines[i + 1] and bool(_TABLE_RULE.match(lines[i + 1]))


def _starts_block(lines: list[str], i: int) -> bool:
    line = lines[i]
    return (
        not line.strip()
        or any(pattern.match(line) for pattern in (_HEADING, _FENCE, _LIST_ITEM))
        or _starts_table(lines, i)
    )


def _pack(blocks: list[Block], max_words: int) -> Iterator[str]:
    """Join the blocks of a section into texts of at most `max_words`."""
    pieces = [
        Block(block.kind, text)
        for block in blocks
        for text in ([block.text] if block.kind in ("table", "code") else _split_long(block.text, max_words))
    ]
    held: list[Block] = []
    size = 0
    for piece in pieces:
        words = count_words(piece.text)
        if held and size + words > max_words:
            yield _join(held)
            held, size = [], 0
        held.append(piece)
        size += words
    if held:
        yield _join(held)


def _join(blocks: list[Block]) -> str:
    """Items of a list on neighbouring lines, everything else apart by an empty line."""
    text = blocks[0].text
    for before, block in pairwise(blocks):
        text += ("\n" if before.kind == block.kind == "item" else "\n\n") + block.text
    return text


def _split_long(text: str, max_words: int) -> list[str]:
    """Cut a paragraph between sentences, an over-long sentence at its spaces."""
    if count_words(text) <= max_words:
        return [text]
    units: list[str] = []
    for sentence in _SENTENCE.findall(text):
        units += [sentence] if count_words(sentence) <= max_words else _UNBROKEN.findall(sentence)
    texts: list[str] = []
    size = 0
    for unit in units:
        words = count_words(unit)
        if texts and size + words <= max_words:
            texts[-1] += unit
            size += words
        else:
            texts.append(unit)
            size = words
    return [text.strip() for text in texts]
