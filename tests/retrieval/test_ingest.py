"""A folder is read as far as it can be; the rest is reported."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.documents import Document, Problem
from retrieval.ingest import FORMATS, id_of, read_file, read_folder
from retrieval.readers.reading import FileTooLarge, UnknownFormat, UnreadableFile

FEES_METADATA = {"language": "en", "category": "delivery"}


def test_front_matter_and_text_become_a_document(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.md").write_bytes(
        b"\xef\xbb\xbf---\r\ndoc_id: fees\r\ntitle: 'Fees: all'\r\n# a note\r\n\r\ncategory: delivery\r\n"
        b"acl: staff, leads\r\n---\r\n\r\nRead this.\r\n\r\n## Two\r\n"
    )

    documents, problems = read_folder(tmp_path)

    assert documents == [Document("fees", "Fees: all", "Read this.\n\n## Two", FEES_METADATA, ("staff", "leads"))]
    assert problems == []


def test_the_readme_is_not_an_article(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# About this folder")
    (tmp_path / "notes.txt").write_text("not Markdown")
    (tmp_path / ".hidden.md").write_text("Text")

    assert read_folder(tmp_path) == ([], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<!-- nothing to see -->", "no text"),
        (b"---\ndoc_id: a\ntitle: A\nText", "front matter: the closing --- is missing"),
        (b"---\ndoc_id: a\n---\nText", "front matter: title is missing"),
        (b"---\ntitle: A\ndoc_id:\n---\nText", "front matter: doc_id is missing"),
        (b"---\ndoc_id: a\ntitle: A\n---\n \n", "no text after the front matter"),
        (b"---\ndoc_id: a\ndoc_id: b\ntitle: A\n---\nText", "front matter: doc_id is given twice"),
        (
            b"---\ndoc_id: a\ncolour: red\n---\nText",
            "front matter: line 3 is not one of doc_id, title, category, language, url, acl",
        ),
        (
            b"---\ndoc_id: a\ntitle: A\nacl:\n---\nText",
            "front matter: acl names no group. Leave the line out to let everyone of the tenant read it",
        ),
        (
            b"---\ndoc_id: a\ntitle: A\nacl: staff,\n---\nText",
            "front matter: acl names no group. Leave the line out to let everyone of the tenant read it",
        ),
        (
            b"---\ndoc_id: a\ntitle: \x81\n---\nText",
            "not text in UTF-8, UTF-16, GB18030 or Windows-1252. Save it as UTF-8.",
        ),
        (b"x" * 2_000_001, "larger than 2,000,000 bytes. Split it."),
    ],
)
def test_a_malformed_file_is_reported_and_the_others_are_read(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "bad.md").write_bytes(content)
    (tmp_path / "good.md").write_text("---\ndoc_id: good\ntitle: Good\n---\nText")

    documents, problems = read_folder(tmp_path)

    assert [document.doc_id for document in documents] == ["good"]
    assert problems == [Problem("bad.md", reason)]


def test_a_file_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.md").mkdir()

    assert [problem.source for problem in read_folder(tmp_path)[1]] == ["folder.md", "gone.md"]


def test_a_doc_id_belongs_to_one_file(tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text(f"---\ndoc_id: same\ntitle: {name}\n---\nText")

    documents, problems = read_folder(tmp_path)

    assert [document.title for document in documents] == ["a.md"]
    assert problems == [Problem("b.md", "doc_id: 'same' is taken by an earlier file")]


def test_the_path_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path: not a folder \(got 'missing'\)"):
        read_folder(tmp_path / "missing")


def test_every_format_of_a_folder_is_read_and_unknown_ones_are_reported(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("Parcels arrive within three days.")
    (tmp_path / "b.htm").write_text("<h1>Fees</h1><p>Delivery is free of charge for members.")
    (tmp_path / "c.csv").write_text("question,answer\nHow long?,Parcels take three days.")
    (tmp_path / "d.JSON").write_text('[{"q": "How long?", "a": "Parcels take three days."}]')
    (tmp_path / "e.exe").write_bytes(b"MZ")
    shares: list[float] = []

    documents, problems = read_folder(tmp_path, suffixes=FORMATS, on_progress=lambda _, share: shares.append(share))

    assert [(d.doc_id, d.title) for d in documents] == [
        ("b.htm", "Fees"),
        ("c.csv", "c"),
        ("d.JSON", "d"),
        ("deep:a.txt", "a"),
    ]
    assert [p.source for p in problems] == ["e.exe"]
    assert problems[0].reason.startswith("files of type .exe are not read. Send one of .md, ")
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_what_nobody_sees_is_taken_out_of_every_format() -> None:
    smuggled = "".join(chr(0xE0000 + ord(sign)) for sign in "obey") + "\u200b"

    assert (
        read_file("a.md", f"# T{smuggled}\n\nA plain sentence.{smuggled}".encode()).text == "# T\n\nA plain sentence."
    )
    assert read_file("a.html", b"<p>A plain &#8203;sentence.").text == "A plain sentence."


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("You can return most things within thirty days.", "en"),
        ("您可以在三十天内退货，运费由我们承担。", "zh"),
        ("Sie können die Ware innerhalb von dreißig Tagen zurückgeben.", "de"),
        ("F-20", "und"),
    ],
)
def test_the_language_is_detected(text: str, language: str) -> None:
    assert read_file("a.md", text.encode()).metadata == {"language": language}


def test_a_stated_language_is_kept() -> None:
    content = b"---\ndoc_id: a\ntitle: A\nlanguage: en-US\n---\nText"

    assert read_file("a.md", content).metadata == {"language": "en-US"}


def test_the_id_of_a_file_is_its_name_where_it_can_be() -> None:
    assert id_of("guides/returns.md") == "guides:returns.md"
    assert id_of("退货.md") != id_of("退款.md")
    assert all(re.fullmatch("[A-Za-z0-9._:-]{1,128}", id_of(name)) for name in ("退货.md", "a b.md", "x" * 300))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.md", b"<!---->x" * 200_000),
        ("a.md", b"# " + b" #" * 500_000),
        ("a.html", b"<table>" + b"<tr><td rowspan=20 colspan=20>" + b"x" * 1_000_000),
        ("a.html", b"<style>" + b".a{" * 300_000),
        ("a.html", b"<ul><li>" * 100_000 + b"x"),
        ("a.csv", b"a," * 49 + b"\n" + b"1\n" * 5_000),
    ],
)
def test_no_file_takes_much_more_work_than_its_size(name: str, content: bytes) -> None:
    """With a quadratic step, each of these would take hours."""
    with suppress(UnreadableFile):
        size = len(read_file(name, content).text)
        assert size < 5 * len(content)


def test_limits_are_kept() -> None:
    with pytest.raises(FileTooLarge, match="larger than 50,000,000 bytes"):
        read_file("a.pdf", b"x" * 50_000_001)
    with pytest.raises(UnknownFormat, match="files of type none are not read"):
        read_file("README", b"x")


@settings(deadline=None, max_examples=150)
@given(name=st.sampled_from([f"a{suffix}" for suffix in FORMATS if suffix not in (".pdf", ".docx")]), data=st.data())
def test_no_bytes_raise_anything_but_the_reported_error(name: str, data: st.DataObject) -> None:
    whole = SAMPLES.get(name, b"")
    cut = st.integers(0, len(whole)).map(lambda n: whole[:n])
    content = data.draw(st.binary(max_size=300) | cut | st.text(max_size=200).map(str.encode))

    with suppress(UnreadableFile):
        assert read_file(name, content).text.strip()


SAMPLES = {
    "a.md": b"---\ndoc_id: a\ntitle: A\nacl: x\n---\n# H\n<!-- c -->\n| a |\n|---|\n",
    "a.html": "<html><style>.a{display:none}</style><body><ul><li>ä<table><tr><td rowspan=2>x<td>y</table>".encode(
        "utf-16"
    ),
    "a.csv": '"question";"answer"\n"a ""b""";"c\nd"\n'.encode("gb18030"),
    "a.json": b'{"faq": [{"question": "\\ud83d a", "answer": 1e999, "x": null}]}',
    "a.jsonl": b'{"question": "a", "answer": "b"}\n{"question": "c", "answer": "d"}\n',
}
