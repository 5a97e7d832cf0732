"""Rows become questions with answers, or a table; what is neither is refused by its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from retrieval.chunking import Chunk, split_markdown
from retrieval.readers.faq import read_csv, read_json, read_jsonl
from retrieval.readers.reading import Reading, UnreadableFile

FAQ = "## How long?\n\n30 days.\n\n## 多少钱？\n\n六元。"


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (
            read_csv,
            "id,Question,Answer\n1,How\nlong?,x".replace("How\nlong?,x", "How long?,30 days.\n\n2,多少钱？,六元。"),
        ),
        (read_csv, 'question;answer\n"How\nlong?";30 days.\n多少钱？;六元。'),
        (read_csv, "问题\t答案\nHow long?\t30 days.\n多少钱？\t六元。"),
        (read_json, '[{"q": "How long?", "a": "30 days."}, {"q": "多少钱？", "a": "六元。"}]'),
        (
            read_json,
            '{"v": 1, "faq": [{"question":"How long?","answer":"30 days."},{"question":"多少钱？","answer":"六元。"}]}',
        ),
        (read_jsonl, '{"question":"How long?","answer":"30 days."}\n\n{"question":"多少钱？","answer":"六元。"}\n'),
    ],
)
def test_a_faq_becomes_a_heading_a_question(read: Callable[[bytes], Reading], content: str) -> None:
    assert read(content.encode()).text == FAQ


def test_question_and_answer_are_one_passage() -> None:
    content = 'question,answer\nHow?,"Like so:\n- one\n\n# two"\nWhen?,Now.'

    assert split_markdown(read_csv(content.encode()).text) == [
        Chunk("How?", "Like so:\n\n- one\n\n\\# two"),
        Chunk("When?", "Now."),
    ]


def test_other_rows_become_a_table() -> None:
    expected = "| Model | Model | Price |\n|---|---|---|\n| A | B \\| C | 5 |\n| D |"

    assert read_csv(b"Model,Model,Price\nA,B | C,5\nD\n").text == expected
    assert read_json(b'[{"a": 1, "b": true}, {"a": null, "c": "x"}]').text == (
        "| a | b | c |\n|---|---|---|\n| 1 | true |  |\n|  |  | x |"
    )


@pytest.mark.parametrize(
    ("read", "content", "reason"),
    [
        (read_csv, "question,answer\nHow?,", "row 1: question or answer is empty"),
        (read_csv, "a,b\n1,2,3", "row 1: has 3 cells, the header 2"),
        (read_csv, 'a,b\n"x"y,2', "line 2: not CSV"),
        (read_csv, "a\n" + "x" * 200_000, "line 2: not CSV"),
        (read_csv, "\n\n", "no row"),
        (read_csv, "a," * 300 + "\n1", "more than 50 columns"),
        (read_json, str([{f"k{i}": 1} for i in range(300)]).replace("'", '"'), "more than 50 columns"),
        (read_json, "{", "line 1: not JSON"),
        (read_json, "[" * 100_000, "not JSON"),
        (read_json, "9" * 10_000, "not JSON"),
        (read_json, "[1]", "not a list of objects"),
        (read_json, '{"a": "b"}', "not a list of objects"),
        (read_json, '[{"a": [1]}]', "object 1: holds nested values"),
        (read_jsonl, '{"a": 1}\nx', "line 2: not JSON"),
        (read_jsonl, "", "not a list of objects"),
    ],
)
def test_what_is_malformed_is_refused_by_its_place(read: Callable[[bytes], Reading], content: str, reason: str) -> None:
    with pytest.raises(UnreadableFile, match=f"^{reason}"):
        read(content.encode())
