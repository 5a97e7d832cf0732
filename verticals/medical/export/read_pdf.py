"""The findings that a PDF states: its attached file, held against its hash and against every word of its table."""

from __future__ import annotations

import hashlib
import io
import json
import re
from typing import Any

import pdfplumber
from pdfminer.pdftypes import resolve1

from verticals.medical.evidence import EvidenceGraph
from verticals.medical.export.pdf import ATTACHMENT, HASH_LABEL, MARGIN
from verticals.medical.export.table import END, HEADER, START, rows


def read_findings(content: bytes) -> EvidenceGraph:
    """The findings of the attached file, without regions.

    Raises:
        ValueError: the file is not the one whose hash the page prints, or the table says something else.
    """
    with pdfplumber.open(io.BytesIO(content)) as pdf:
        attached, text = _attachment(pdf.doc), _text(pdf.pages)
    if f"{_packed(HASH_LABEL)}{hashlib.sha256(attached).hexdigest()}" not in text:
        raise ValueError("attachment: its SHA-256 is not the one on the page")
    graph = EvidenceGraph.model_validate(json.loads(attached)["evidence"])
    if _table(text) != _packed("".join(cell for row in rows(graph) for cell in row)):
        raise ValueError("table: does not say what the attachment says")
    return graph.without_regions()


def _attachment(document: Any) -> bytes:
    names = resolve1(resolve1(resolve1(document.catalog["Names"])["EmbeddedFiles"])["Names"])
    name, file = names
    if name != ATTACHMENT.encode():
        raise ValueError(f"attachment: must be {ATTACHMENT}")
    data: bytes = resolve1(resolve1(resolve1(file)["EF"])["F"]).get_data()
    return data


def _text(pages: list[Any]) -> str:
    """All letters above the foot of each page, in the order in which they were set, without space."""
    return _packed("".join(c["text"] for page in pages for c in page.chars if c["bottom"] < page.height - MARGIN))


def _packed(text: str) -> str:
    return re.sub(r"\s", "", text)


def _table(text: str) -> str:
    """The letters of all rows; the header, repeated on each page, is left out."""
    _, start, rest = text.partition(_packed(START))
    body, end, after = rest.partition(_packed(END))
    if bool(start) != bool(end) or _packed(START) in after:
        raise ValueError("table: must have one start and one end")
    return body.replace(_packed("".join(HEADER)), "")
