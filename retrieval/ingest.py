"""Files and folders of files to documents; what cannot be read is reported and left out. Ignores storage."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from retrieval.documents import Document, Problem
from retrieval.language import detect_language
from retrieval.readers import faq, html, markdown
from retrieval.readers.reading import FileTooLarge, Reading, UnknownFormat, UnreadableFile
from retrieval.readers.sandbox import read_apart
from retrieval.readers.text import visible

MAX_ID_CHARS = 128  # of an id made from a file's name; what the API takes
_MAX_TITLE_CHARS = 300
_ID = re.compile(r"[^A-Za-z0-9._:-]+")

Progress = Callable[[str, float], None]  # (what is being done, share done 0-1)


@dataclass(frozen=True)
class Format:
    """How files with one ending are read, and how large they may be."""

    read: Callable[[bytes], Reading]
    max_bytes: int


_TEXT = partial(Format, max_bytes=2_000_000)
_BINARY = partial(Format, max_bytes=50_000_000)
FORMATS: Mapping[str, Format] = {
    ".md": _TEXT(markdown.read),
    ".markdown": _TEXT(markdown.read),
    ".txt": _TEXT(markdown.read),
    ".html": _TEXT(html.read),
    ".htm": _TEXT(html.read),
    ".csv": _TEXT(faq.read_csv),
    ".tsv": _TEXT(faq.read_csv),
    ".json": _TEXT(faq.read_json),
    ".jsonl": _TEXT(faq.read_jsonl),
    ".pdf": _BINARY(partial(read_apart, "pdf")),
    ".docx": _BINARY(partial(read_apart, "docx")),
}
MARKDOWN = (".md",)


def read_file(name: str, content: bytes) -> Document:
    """One file as a document.

    What the file does not state is filled in: the id from its name (so the same file again replaces the document), the
    title from its first heading or its name, the language by `detect_language`.

    Args:
        name: File name, or path below the folder with "/".
        content: The file.
    Raises:
        UnknownFormat: no reader for this ending.
        FileTooLarge: over a limit.
        UnreadableFile: empty, encrypted, damaged, without text, or it breaks a rule of its format.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in FORMATS:
        raise UnknownFormat(f"files of type {suffix or 'none'} are not read", f"Send one of {', '.join(FORMATS)}.")
    _check_size(suffix, len(content))
    if not content.strip():
        raise UnreadableFile("empty file")
    reading = FORMATS[suffix].read(content)
    text = visible(reading.text).strip()
    if not text:
        raise UnreadableFile("no text")
    title = " ".join(visible(reading.title).split())[:_MAX_TITLE_CHARS] or PurePosixPath(name).stem
    metadata = {"language": detect_language(text)} | reading.metadata
    return Document(reading.doc_id or id_of(name), title, text, metadata, reading.acl)


def read_folder(
    path: Path, *, suffixes: Collection[str] = MARKDOWN, on_progress: Progress = lambda what, share: None
) -> tuple[list[Document], list[Problem]]:
    """Read the files below `path` with one of the endings, in order of name.

    README.md files describe their folder and are not read, nor are files and folders whose names begin with a dot.
    A file with an ending that no reader knows is reported.

    Returns:
        The documents, and for each file that is left out its relative name and the reason.
    Raises:
        ValueError: `path` is not a folder.
    """
    if not path.is_dir():
        raise ValueError(f"path: not a folder (got {path.name!r}). Name a folder of articles.")
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if _is_article(file, path, suffixes))
    documents: dict[str, Document] = {}
    problems: list[Problem] = []
    for number, name in enumerate(names):
        on_progress("Reading files", number / len(names))
        try:
            _check_size((path / name).suffix.lower(), (path / name).stat().st_size)
            document = read_file(name, (path / name).read_bytes())
            if document.doc_id in documents:
                raise ValueError(f"doc_id: {document.doc_id!r} is taken by an earlier file")
            documents[document.doc_id] = document
        except OSError as error:
            problems.append(Problem(name, f"cannot be read ({error.strerror})"))
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    on_progress("Reading files", 1.0)
    return list(documents.values()), problems


def id_of(name: str) -> str:
    """A document's id from its file's name: "/" becomes ":"; a name with other signs, or a long one, gets a hash."""
    plain = name.replace("/", ":")
    made = _ID.sub("-", plain)
    if made == plain and len(made) <= MAX_ID_CHARS:
        return made
    return f"{made[: MAX_ID_CHARS - 9]}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _is_article(file: Path, root: Path, suffixes: Collection[str]) -> bool:
    suffix, relative = file.suffix.lower(), file.relative_to(root)
    if any(part.startswith(".") for part in relative.parts) or file.name.lower() == "readme.md":
        return False
    return suffix in suffixes or (suffix not in FORMATS and file.is_file())


def _check_size(suffix: str, num_bytes: int) -> None:
    limit = FORMATS[suffix].max_bytes if suffix in FORMATS else num_bytes
    if num_bytes > limit:
        raise FileTooLarge(f"larger than {limit:,} bytes", "Split it.")
