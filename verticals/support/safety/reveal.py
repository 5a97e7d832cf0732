"""Undo the ways of hiding words from a reader of text: invisible and lookalike characters, mark-up. Ignores meaning.

`strip_hidden` gives a text that may be shown; `reveal` one for judging alone.
"""

from __future__ import annotations

import re
import unicodedata

_TAGS = {code: chr(code - 0xE0000) for code in range(0xE0020, 0xE007F)}  # "ASCII smuggling" in the Unicode tag block
_LOOKALIKES = str.maketrans(
    "аесорхуікјѕԁһԛԝвмнтАВЕКМНОРСТХУІЈЅαοερνικτΑΒΕΗΙΚΜΝΟΡΤΥΧΖɑɡıℓ",
    "aecopxyikjsdhqwbmhtABEKMHOPCTXYIJSaoepviktABEHIKMNOPTYXZagil",
)
_HAS_LATIN = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"\w+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all of ASCII but tab and newline
_LETTER_GAPS = re.compile(r"\b(?:[A-Za-z][ .\-_*]){4,}[A-Za-z]\b")  # "i g n o r e"
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)|<img\b[^>]*>", re.IGNORECASE)  # an address can carry data away
_LINK_TITLE = re.compile(r"(\]\([^)\s]*)\s+(?:\"[^\"]*\"|'[^']*')\)")  # [text](url "title")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]*\]:\s*\S+.*$", re.MULTILINE)  # [//]: # (comment)
_HIDDEN_ELEMENT = re.compile(
    r"<(\w+)\b[^>]*(?:display:\s*none|visibility:\s*hidden|font-size:\s*0|\bhidden\b)[^>]*>.*?</\1>",
    re.IGNORECASE | re.DOTALL,
)


def strip_hidden(text: str) -> str:
    """`text` without what its reader would not see: comments, hidden elements, images, titles, invisible characters."""
    for pattern in (_COMMENT, _HIDDEN_ELEMENT, _IMAGE, _REFERENCE):
        text = pattern.sub("", text)
    text = _LINK_TITLE.sub(r"\1)", text)
    return "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Cn", "Co") or c in "\n\t")


def reveal(text: str) -> str:
    """`text` as a model would understand it: lookalikes and spaced letters as plain words, without emphasis."""
    if text.isascii():  # most texts are: only control characters can hide there
        text = _CONTROLS.sub("", text)
    else:
        text = unicodedata.normalize("NFKC", text.translate(_TAGS))
        text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Mn", "Cc") or c in "\n\t")
        text = _WORD.sub(_latin, text)
    text = _LETTER_GAPS.sub(lambda match: re.sub(r"[ .\-_*]", "", match[0]), text)
    return re.sub(r"\*+|`+|~~|__", "", text)


def _latin(match: re.Match[str]) -> str:
    """Lookalikes in a word become Latin letters if the word has Latin ones too; honest Russian or Greek stays."""
    word = match[0]
    folded = word.translate(_LOOKALIKES)
    return folded if _HAS_LATIN.search(word) or (word != folded and folded.isascii()) else word
