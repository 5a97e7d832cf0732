"""The encodings of English and Chinese shops are told apart; what is no text is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.readers.reading import UnreadableFile
from retrieval.readers.text import decode, visible

CHINESE = "空气净化器的滤网多久更换一次？请每六个月更换一次，价格为19.95美元。"
FRENCH = "Où êtes-vous ? Réponse : à l'étage, où l'été dernier déjà nous étions allés — 5 €."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
@pytest.mark.parametrize("text", [CHINESE, f"Filter F-20: {CHINESE}"])
def test_chinese_is_read_in_each_encoding(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "cp1252"])
def test_western_letters_are_read_in_each_encoding(encoding: str) -> None:
    assert decode(FRENCH.encode(encoding)) == FRENCH


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff")))
def test_utf8_is_read_as_it_is(text: str) -> None:
    assert decode(text.encode()) == text


def test_line_ends_become_line_feeds() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


@pytest.mark.parametrize("content", [b"\x00\x01", b"GIF89a\x01\x00\x80", b"\x81\x20", b"\xff\xfe\x00", b"a\x1bb"])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableFile, match=r"^not (a text file|text in)"):
        decode(content)


def test_invisible_characters_are_taken_out_and_visible_ones_stay() -> None:
    assert visible("a\u200bb\u202e\u2066c\U000e0041\ufe0f\x07") == "abc"
    assert visible("退货\té\n👩\u200d🚀") == "退货\té\n👩\u200d🚀"
