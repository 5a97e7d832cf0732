"""A page becomes its visible text, with its structure."""

from __future__ import annotations

import pytest

from retrieval.readers.html import read
from retrieval.readers.reading import UnreadableFile


def text_of(html: str) -> str:
    return read(html.encode()).text


def test_headings_paragraphs_and_inline_marks() -> None:
    assert text_of("<h1>Fees</h1><div>One <b>bold</b> <a href=x>link</a>.<p>Two<br>lines</div>after<h3>Deep</h3>") == (
        "# Fees\n\nOne bold link.\n\nTwo lines\n\nafter\n\n### Deep"
    )


def test_lists_keep_their_depth_and_numbers_and_items_their_paragraphs() -> None:
    assert text_of("<p>To return:<ol><li><p>Open</p><p>orders</p><ul><li>a</ul>then<li>Pack</ol>") == (
        "To return:\n\n1. Open orders\n\n  - a\n\nthen\n\n2. Pack"
    )


def test_a_table_is_whole_and_merged_cells_are_filled() -> None:
    html = (
        "<table><caption>Prices</caption><tr><th>Service<th>Price<tr><td rowspan=2>A | B<td>$1<tr>"
        "<td><table><tr><td>$2<td>net</table><tr><td colspan=2>C</table>"
    )

    assert text_of(html) == (
        "Prices\n\n| Service | Price |\n|---|---|\n| A \\| B | $1 |\n| A \\| B | $2 net |\n| C | C |"
    )


def test_a_table_that_only_places_blocks_is_looked_into() -> None:
    assert text_of("<table><tr><td><h2>Head</h2><p>Text</table>") == "## Head\n\nText"


def test_questions_with_folded_answers_become_headings_and_terms_lead_their_definitions() -> None:
    assert text_of("<h2>FAQ</h2><details><summary>Why?</summary>Because.</details>") == "## FAQ\n\n### Why?\n\nBecause."
    assert text_of("<dl><dt>Term<dd>One<dd>Two</dl>") == "Term:\n\n- One\n\n- Two"


def test_code_keeps_its_lines_and_text_that_looks_like_marks_is_escaped() -> None:
    assert text_of("<pre><code>a\n  b</code></pre><p>``` x</p><p># y</p>") == "```\na\n  b\n```\n\n\\``` x\n\n\\# y"


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>evil</script>",
        "<style>evil</style>",
        "<!-- evil -->",
        "<template>evil</template>",
        "<noscript>evil</noscript>",
        "<nav>evil</nav>",
        "<p hidden>evil</p>",
        "<div aria-hidden=true><p>evil</p></div>",
        "<span style='DISPLAY : none'>evil</span>",
        "<span style='font-size:0px'>evil</span>",
        "<span style='opacity:0.0'>evil</span>",
        "<span style='position:absolute;left:-9999px'>evil</span>",
        "<span style='color:#fff;background:#FFF'>evil</span>",
        "<div style='height:0;overflow:hidden'>evil</div>",
        "<p class='big gone'>evil</p>",
        "<p id=gone>evil</p>",
        "<textarea>evil</textarea>",
        "<svg><text>evil</text></svg>",
        "<section style='visibility:hidden'>evil</section>",
    ],
)
def test_what_a_browser_does_not_show_is_not_read(hidden: str) -> None:
    page = f"<style>/* c */ .x, p.gone, #gone {{ color: red; display:none }}</style><p>kept</p>{hidden} tail"

    assert "evil" not in read(page.encode()).text


@pytest.mark.parametrize(
    "shown",
    [
        "<style>@media print { .y { display: none } }</style><p class=y>kept</p>",
        "<p style='opacity:0.5;font-size:0.9em;line-height:0.5'>kept</p>",
        "<p style='min-height:0'>kept</p>",
        "<details><p>kept</p></details>",
    ],
)
def test_what_a_browser_shows_is_read(shown: str) -> None:
    assert read(shown.encode()).text == "kept"


def test_only_the_main_part_is_read_and_the_title_is_its_one_first_heading() -> None:
    page = b"<title>Returns | Shop</title><div>ad</div><main><h1>Returns</h1><p>Text</main>"

    assert (read(page).text, read(page).title) == ("# Returns\n\nText", "Returns")
    assert read(page.replace(b"<p>", b"<h1>")).title == "Returns | Shop"


def test_the_encoding_is_the_one_that_the_page_names() -> None:
    assert read('<meta charset="gb2312"><p>退货</p>'.encode("gb2312")).text == "退货"
    assert read("<meta charset=punycode><p>é</p>".encode()).text == "é"
    assert read("<meta charset=iso-8859-99><p>é</p>".encode()).text == "é"
    assert read("<?xml version='1.0' encoding='utf-16'?><p>é</p>".encode("utf-16")).text == "é"


def test_entities_of_the_page_are_not_expanded() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]><p>&b;&f;</p>'

    assert "lol" not in text_of(bomb)
    assert "root:" not in text_of(bomb)


def test_deep_nesting_is_no_failure() -> None:
    assert text_of("<p>kept</p>" + "<div>" * 50_000).startswith("kept")


def test_bytes_that_are_no_page_are_refused() -> None:
    with pytest.raises(UnreadableFile, match="not a text file"):
        read(b"\x00\x01\x02")
