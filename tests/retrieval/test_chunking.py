"""Markdown is cut along its structure and loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.chunking import MAX_WORDS, Chunk, count_words, split_markdown

TABLE = "| Service | Price |\n|---|---|\n| Express | $14.95 |\n| Next-day | $24.95 |"


def test_headings_become_a_breadcrumb() -> None:
    chunks = split_markdown(
        "Intro.\n\n# Delivery\nA.\n\n## Islands ##\nB.\n\n### Fees\nC.\n\n## Canada\nD.\n\n# Returns\nE."
    )

    assert chunks == [
        Chunk("", "Intro."),
        Chunk("Delivery", "A."),
        Chunk("Delivery > Islands", "B."),
        Chunk("Delivery > Islands > Fees", "C."),
        Chunk("Delivery > Canada", "D."),
        Chunk("Returns", "E."),
    ]


def test_a_heading_that_repeats_the_title_is_left_out() -> None:
    assert split_markdown("# Delivery\n## Fees\nA.", title="Delivery") == [Chunk("Fees", "A.")]


def test_a_table_stays_whole_beyond_the_limit() -> None:
    chunks = split_markdown(f"Our services.\n\n{TABLE}\nMore words here.", max_words=4)

    assert [chunk.text for chunk in chunks] == ["Our services.", TABLE, "More words here."]


def test_a_table_beyond_the_limit_is_cut_between_rows_and_each_part_has_the_header() -> None:
    head = "| Code | Price |\n|---|---|"
    rows = [f"| P{i} | {i} |" for i in range(5_000)]

    texts = [chunk.text for chunk in split_markdown("\n".join([head, *rows]))]

    assert [row for text in texts for row in text.split("\n")[2:]] == rows
    assert all(text.startswith(head) for text in texts)
    assert max(count_words(text) for text in texts) <= MAX_WORDS


def test_a_header_as_long_as_a_part_is_not_repeated() -> None:
    head = f"| {'word ' * 100}|\n|---|"

    texts = [chunk.text for chunk in split_markdown("\n".join([head, *["| a b c |"] * 200]))]

    assert [text.startswith(head) for text in texts] == [True] + [False] * (len(texts) - 1)


def test_code_beyond_the_limit_is_cut_between_lines_and_fenced_in_each_part() -> None:
    lines = [f"run {i}" for i in range(300)]

    texts = [chunk.text for chunk in split_markdown("\n".join(["```sh", *lines, "```"]))]

    assert [line for text in texts for line in text.split("\n")[1:-1]] == lines
    assert all(text.startswith("```sh\n") and text.endswith("\n```") for text in texts)


def test_a_list_that_is_cut_keeps_its_lead_sentence() -> None:
    chunks = split_markdown("Read this. To return it:\n- open orders\n- pack it well\n- post it", max_words=8)

    assert [chunk.text for chunk in chunks] == [
        "Read this. To return it:\n\n- open orders",
        "To return it:\n\n- pack it well\n- post it",
    ]


def test_a_lead_sentence_moves_to_the_list_that_it_announces() -> None:
    text = "One two three four five.\n\nTo return:\n- a b c"

    assert [chunk.text for chunk in split_markdown(text, max_words=8)] == [
        "One two three four five.",
        "To return:\n\n- a b c",
    ]


def test_a_lead_sentence_that_leaves_no_room_stands_once() -> None:
    chunks = split_markdown("不包括以下各项：\n\n- 人为损坏\n- 摔落", max_words=10)

    assert [chunk.text for chunk in chunks] == ["不包括以下各项：", "- 人为损坏\n- 摔落"]


@pytest.mark.parametrize("line", ["# a{}b", "| a\n{}|{}x", ". {}b:\n- c", "- {}a", "{}#", "|a\n|-{}x"])
def test_a_run_of_spaces_costs_no_more_than_its_length(line: str) -> None:
    """With a pattern that backtracks, one of these would take hours."""
    assert split_markdown(line.replace("{}", " " * 200_000)) is not None


def test_a_line_with_a_pipe_is_no_table() -> None:
    assert split_markdown("a | b\nc | d") == [Chunk("", "a | b c | d")]


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_code_stays_whole_and_its_comments_are_no_headings(fence: str) -> None:
    code = f"{fence}sh\n# not a heading\n\nmake run\n{fence}"

    assert split_markdown(f"Run:\n{code}\nDone.", max_words=1) == [
        Chunk("", "Run:"),
        Chunk("", code),
        Chunk("", "Done."),
    ]


def test_code_that_is_never_closed_runs_to_the_end() -> None:
    assert split_markdown("```\n# a\nb") == [Chunk("", "```\n# a\nb")]


def test_list_items_stay_together_on_their_own_lines() -> None:
    assert split_markdown("Steps:\n1. Open\n   Orders.\n2. Choose it.\n\nDone.") == [
        Chunk("", "Steps:\n\n1. Open Orders.\n2. Choose it.\n\nDone.")
    ]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    assert [c.text for c in split_markdown("One two three. Four five. Six seven eight nine.", max_words=5)] == [
        "One two three. Four five.",
        "Six seven eight nine.",
    ]


def test_a_long_sentence_is_cut_between_words() -> None:
    assert [c.text for c in split_markdown("a b c d e f g", max_words=3)] == ["a b c", "d e f", "g"]


def test_a_price_is_never_cut() -> None:
    assert [c.text for c in split_markdown("a b $14.95 c", max_words=3)] == ["a b", "$14.95 c"]


def test_chinese_is_counted_by_sign_and_cut_at_its_full_stop() -> None:
    assert count_words("退货 in 30 天") == 5
    assert [c.text for c in split_markdown("三十天内可退货。运费六元。", max_words=8)] == [
        "三十天内可退货。",
        "运费六元。",
    ]


def test_a_text_without_body_has_no_chunks() -> None:
    assert split_markdown("# Title\n\n## Empty\n\n") == []


def test_the_limit_is_at_least_one_word() -> None:
    with pytest.raises(ValueError, match=r"max_words: must be at least 1 \(got 0\)"):
        split_markdown("a", max_words=0)


LINES = st.sampled_from(
    ["", "Word one two. Then three four five six.", "- item one", "2. item two", "  going on", "plain", "5 for 2 kg!"]
)


@given(lines=st.lists(LINES, max_size=30), max_words=st.integers(1, 12))
def test_every_word_survives_in_order_and_chunks_keep_the_limit(lines: list[str], max_words: int) -> None:
    text = "\n".join(lines)

    chunks = split_markdown(text, max_words=max_words)

    assert " ".join(chunk.text for chunk in chunks).split() == text.split()
    assert all(1 <= count_words(chunk.text) <= max_words for chunk in chunks)
