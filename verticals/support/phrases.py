"""The agent's fixed sentences in the customer's language. The code says them in English; `phrases_zh.json` has Chinese.

A text is looked up paragraph by paragraph; what no table has, such as an article's sentence, stays. `{names}` in a
sentence stand for whatever the shop or the customer put there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from retrieval.chinese import has_chinese

_OWN_WORDS = re.compile(r"[a-z]{3,}", re.IGNORECASE)  # of English: an order number or "ok" tells no language


@cache
def chinese_table() -> Mapping[str, str]:
    """Each fixed sentence, as the code says it, and its Chinese."""
    table: Mapping[str, str] = json.loads((Path(__file__).parent / "phrases_zh.json").read_text("utf-8"))
    return table


def writes_chinese(said: Sequence[str]) -> bool:
    """Whether a customer writes Chinese: their latest message that tells a language is in it."""
    for text in reversed(said):
        if has_chinese(text):
            return True
        if _OWN_WORDS.search(text):
            return False
    return False


def for_customer(text: str, said: Sequence[str]) -> str:
    """A text of the assistant as its customer reads it.

    Args:
        text: In English, with fixed sentences as paragraphs.
        said: The customer's messages, latest last.
    """
    if not writes_chinese(said):
        return text
    return "\n\n".join(_in_chinese(paragraph) for paragraph in text.split("\n\n"))


def both(sentence: str) -> tuple[str, ...]:
    """A fixed sentence in every language."""
    return (sentence, chinese_table()[sentence])


def _in_chinese(paragraph: str) -> str:
    for pattern, chinese in _patterns():
        if found := pattern.fullmatch(paragraph.strip()):
            return chinese.format(**found.groupdict())
    return paragraph


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    def pattern(sentence: str) -> re.Pattern[str]:
        return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(sentence)), re.DOTALL)

    return tuple((pattern(english), chinese) for english, chinese in chinese_table().items())
