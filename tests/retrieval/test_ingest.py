"""A folder is read as far as it can be; the rest is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.documents import Document, Problem
from retrieval.ingest import MAX_FILE_BYTES, read_folder


def test_front_matter_and_text_become_a_document(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.md").write_bytes(
        b"\xef\xbb\xbf---\r\ndoc_id: fees\r\ntitle: 'Fees: all'\r\n# a note\r\n\r\ncategory: delivery\r\n"
        b"acl: staff, leads\r\n---\r\n\r\nOne.\r\n\r\n## Two\r\n"
    )

    documents, problems = read_folder(tmp_path)

    assert documents == [Document("fees", "Fees: all", "One.\n\n## Two", {"category": "delivery"}, ("staff", "leads"))]
    assert problems == []


def test_the_readme_is_not_an_article(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# About this folder")
    (tmp_path / "notes.txt").write_text("not Markdown")

    assert read_folder(tmp_path) == ([], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"# No front matter", "front matter: the first line is not ---"),
        (b"", "front matter: the first line is not ---"),
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
        (b"---\ndoc_id: a\ntitle: \xff\n---\nText", "not UTF-8 text (byte 21)"),
        (b"x" * (MAX_FILE_BYTES + 1), "larger than 2,000,000 bytes"),
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
