"""A folder of Markdown files to documents, bad files reported and left out. Ignores storage and other formats."""

from __future__ import annotations

from pathlib import Path

from retrieval.documents import Document, Problem

MAX_FILE_BYTES = 2_000_000
_REQUIRED = ("doc_id", "title")
_METADATA = ("category", "language", "url")


def read_folder(path: Path) -> tuple[list[Document], list[Problem]]:
    """Read every `*.md` below `path`, in order of name; README.md files describe their folder and are not read.

    A file opens with front matter between two `---` lines: `doc_id` and `title`, optionally `category`, `language`,
    `url` and `acl` (groups, comma-separated), one `key: value` a line.

    Returns:
        The documents, and for each file that is left out its relative name and the reason.
    Raises:
        ValueError: `path` is not a folder.
    """
    if not path.is_dir():
        raise ValueError(f"path: not a folder (got {path.name!r}). Name a folder of Markdown files.")
    documents: dict[str, Document] = {}
    problems: list[Problem] = []
    for file in sorted(path.rglob("*.md")):
        name = file.relative_to(path).as_posix()
        if file.name.lower() == "readme.md":
            continue
        try:
            document = _read(file)
            if document.doc_id in documents:
                raise ValueError(f"doc_id: {document.doc_id!r} is taken by an earlier file")
            documents[document.doc_id] = document
        except UnicodeDecodeError as error:
            problems.append(Problem(name, f"not UTF-8 text (byte {error.start})"))
        except OSError as error:
            problems.append(Problem(name, f"cannot be read ({error.strerror})"))
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    return list(documents.values()), problems


def _read(file: Path) -> Document:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES:,} bytes")
    fields, body = _split_front_matter(file.read_text("utf-8-sig"))
    for key in _REQUIRED:
        if not fields.get(key):
            raise ValueError(f"front matter: {key} is missing")
    acl = tuple(group.strip() for group in fields["acl"].split(",")) if "acl" in fields else ()
    if not all(acl):  # an empty acl means everyone, which is hardly what such a line is meant to say
        raise ValueError("front matter: acl names no group. Leave the line out to let everyone of the tenant read it")
    if not body:
        raise ValueError("no text after the front matter")
    return Document(
        doc_id=fields["doc_id"],
        title=fields["title"],
        text=body,
        metadata={key: fields[key] for key in _METADATA if fields.get(key)},
        acl=acl,
    )


def _split_front_matter(text: str) -> tuple[dict[str, str], str]:
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        raise ValueError("front matter: the first line is not ---")
    try:
        end = next(i for i, line in enumerate(lines[1:], start=1) if line.strip() == "---")
    except StopIteration:
        raise ValueError("front matter: the closing --- is missing") from None
    fields: dict[str, str] = {}
    for number, line in enumerate(lines[1:end], start=2):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or key not in (*_REQUIRED, *_METADATA, "acl"):
            raise ValueError(f"front matter: line {number} is not one of doc_id, title, category, language, url, acl")
        if key in fields:
            raise ValueError(f"front matter: {key} is given twice")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        fields[key] = value
    return fields, "\n".join(lines[end + 1 :]).strip()
