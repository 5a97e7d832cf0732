"""Text to the words that BM25 counts: English stems, Chinese words and signs. Ignores Japanese: kana stay together."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

_HAN_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_WORD = re.compile(r"\b\w\w+\b")
# Words of grammar and of asking, which nearly every question and article holds.
_CHINESE_STOP_WORDS = frozenset(
    "的了吗呢吧啊呀着过得地之是在有和与或及也都就还又很把被给让向从对于以而但并且我你您他她它这那哪几会能可要想请个么没不时"
) | {
    *("我们", "你们", "您们", "他们", "这个", "那个", "这些", "那些", "哪些", "什么", "怎么", "怎样", "如何", "多少"),
    *("为什么", "可以", "请问", "一个", "一下", "没有", "如果", "因为", "所以", "时候"),
}


def tokenize(texts: Sequence[str]) -> list[list[str]]:
    """Words of each text; of one without Chinese signs, exactly those of `english_words`.

    Chinese words and signs come first; signs of full width count as their usual forms.
    """
    words: list[list[str]] = []
    others: list[str] = []
    for text in texts:
        plain = unicodedata.normalize("NFKC", text) if _HAN_RUN.search(text) else text
        words.append([word for run in _HAN_RUN.findall(plain) for word in chinese_words(run)])
        others.append(_HAN_RUN.sub(" ", plain))
    return [chinese + english for chinese, english in zip(words, english_words(others), strict=True)]


def chinese_words(run: str) -> list[str]:
    """Words of a run of Chinese signs, and each of its signs, without words of grammar.

    Words are those of jieba's dictionary and its model of new words, long ones with the words inside them. Alone they
    miss another word for the same thing ("到货" and "送达", "货到"), which shares a sign; signs alone match too much in
    a large base (Nie 2000, doi:10.1145/355214.355235). Chosen by `python -m benchmarks.retrieval_zh` on `dev`.
    """
    import rjieba

    words = [word for word in rjieba.cut_for_search(run) if len(word) > 1]
    signs = [sign for word in rjieba.cut(run) if word not in _CHINESE_STOP_WORDS for sign in word]
    return [word for word in (*words, *signs) if word not in _CHINESE_STOP_WORDS]


def english_words(texts: Sequence[str]) -> list[list[str]]:
    """Lower-case words of two letters or more, without English stop words, stemmed (Snowball).

    Exactly those of `bm25s.tokenize`, which sets up more for a query than a query has words.
    """
    import Stemmer

    stemmer, stop_words = (
        Stemmer.Stemmer("english"),
        _english_stop_words(),
    )  # a stemmer isn't thread-safe; cheap to make
    return [
        stemmer.stemWords([word for word in _WORD.findall(text.lower()) if word not in stop_words]) for text in texts
    ]


@cache
def _english_stop_words() -> frozenset[str]:
    quiet_bm25s()
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    return frozenset(STOPWORDS_EN_PLUS)


@cache
def quiet_bm25s() -> Any:
    """The bm25s package, with its logger back at WARNING."""
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it asks for DEBUG on import, whatever the service wants
    return bm25s
