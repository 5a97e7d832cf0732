"""Markdown to passages along its structure: headings, paragraphs, lists, tables, code. Ignores inline marks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

MAX_WORDS = 120  # about 160 word pieces: title, breadcrumb and text stay inside MiniLM's 256
MAX_WHOLE_WORDS = 400  # a table or a code block up to here is one passage; a row alone says less than its neighbours

# No pattern may need more than linear time: the texts come from strangers' files.
_HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t](.*))?$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,9}[.)])\s+")
_RULE_CELL = re.compile(r":?-+:?")
_SENTENCE = re.compile(r".+?(?:[.!?]\s+(?=[A-Z0-9\"'(])|[。！？]|$)")
_HAN = r"\u3040-\u30ff\u3400-\u9fff"  # Han and kana, written without spaces: a sign is a word
WORD = re.compile(rf"[{_HAN}]|[^\W{_HAN}]+")
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
    return sum(1 for _ in WORD.finditer(text))


def split_markdown(text: str, *, title: str = "", max_words: int = MAX_WORDS) -> list[Chunk]:
    """Cut Markdown into passages that never cross a heading.

    Paragraphs and list items are packed up to `max_words`; a longer one is cut between sentences, and a sentence that
    is still longer at its spaces. A list that is cut takes the sentence that announces it ("To return an item:") into
    each part. Tables and fenced code stay whole up to `MAX_WHOLE_WORDS`; beyond, they are cut between lines into parts
    of `max_words`, each with the table's header or the fence. Strings without a space and single lines of tables and
    code stay whole, whatever their size. Every word of the body appears, in order; only what announces is repeated.

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
            yield Block("heading", _heading_name(heading[2] or ""), len(heading[1]))
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


def _heading_name(text: str) -> str:
    name = text.strip()
    bare = name.rstrip("#")
    return bare.rstrip() if bare[-1:] in ("", " ", "\t") else name


def _starts_table(lines: list[str], i: int) -> bool:
    if i + 1 == len(lines) or "|" not in lines[i] or "|" not in lines[i + 1]:
        return False
    rule = lines[i + 1].strip().removeprefix("|").removesuffix("|")
    return all(_RULE_CELL.fullmatch(cell.strip()) for cell in rule.split("|"))


def _starts_block(lines: list[str], i: int) -> bool:
    line = lines[i]
    return (
        not line.strip()
        or any(pattern.match(line) for pattern in (_HEADING, _FENCE, _LIST_ITEM))
        or _starts_table(lines, i)
    )


def _pack(blocks: list[Block], max_words: int) -> Iterator[str]:
    """Join the blocks of a section into texts of at most `max_words`."""
    held: list[Block] = []
    size = 0
    lead = ""
    for block in blocks:
        if block.kind != "item":
            announces = block.kind == "paragraph" and block.text.endswith((":", "："))
            lead = _SENTENCE.findall(block.text)[-1] if announces else ""
        for text in _cut(block, max_words):
            words = count_words(text)
            if held and size + words > max_words:
                repeat = block.kind == "item" and bool(lead) and count_words(lead) + words <= max_words
                if repeat and held[-1].text == lead:  # it would announce nothing here
                    held.pop()
                if held:
                    yield _join(held)
                held = [Block("paragraph", lead)] if repeat else []
                size = count_words(lead) if repeat else 0
            held.append(Block(block.kind, text))
            size += words
    if held:
        yield _join(held)


def _cut(block: Block, max_words: int) -> list[str]:
    """The parts of a block that are packed each for itself."""
    if block.kind not in ("table", "code"):
        return _split_long(block.text, max_words)
    if count_words(block.text) <= max(max_words, MAX_WHOLE_WORDS):
        return [block.text]
    lines = block.text.split("\n")
    if block.kind == "table":
        return _split_lines(lines[2:], head=lines[:2], tail=[], max_words=max_words)
    closed = len(lines) > 1 and _closes(lines[-1], lines[0].strip()[:3])
    end = [lines[-1]] if closed else []
    return _split_lines(lines[1 : len(lines) - len(end)], head=lines[:1], tail=end, max_words=max_words)


def _split_lines(lines: list[str], *, head: list[str], tail: list[str], max_words: int) -> list[str]:
    """Lines in parts of about `max_words`, each between `head` and `tail`; a head of more than half a part stands once.

    A long head that was repeated over many short lines would multiply the text.
    """
    head_words = count_words("\n".join(head))
    room = max_words - head_words if head_words <= max_words / 2 else max_words
    parts: list[list[str]] = [[]]
    size = 0
    for line in lines:
        words = count_words(line)
        if parts[-1] and size + words > room:
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += words
    repeat = room < max_words
    return ["\n".join([*(head if repeat or i == 0 else []), *part, *tail]) for i, part in enumerate(parts)]


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
