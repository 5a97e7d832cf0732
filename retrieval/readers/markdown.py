"""Markdown and plain text, with or without front matter. Ignores inline HTML; comments are dropped."""

from __future__ import annotations

from retrieval.readers.reading import Reading, UnreadableFile
from retrieval.readers.text import decode

_REQUIRED = ("doc_id", "title")
_METADATA = ("category", "language", "url")


def read(content: bytes) -> Reading:
    """Read Markdown.

    A file may open with front matter between two `---` lines: `doc_id` and `title`, optionally `category`, `language`,
    `url` and `acl` (groups, comma-separated), one `key: value` a line. A file that begins so must keep these rules.
    Without it, the first heading is the title.

    Raises:
        UnreadableFile: not text, or the front matter breaks a rule.
    """
    text = _without_comments(decode(content))
    if text.partition("\n")[0].strip() != "---":
        first = next((line for line in text.splitlines() if line.strip()), "")
        return Reading(text.strip(), title=first.lstrip("#").strip() if first.startswith("#") else "")
    fields, body = _split_front_matter(text.splitlines())
    for key in _REQUIRED:
        if not fields.get(key):
            raise UnreadableFile(f"front matter: {key} is missing")
    acl = tuple(group.strip() for group in fields["acl"].split(",")) if "acl" in fields else ()
    if not all(acl):  # an empty acl means everyone, which is hardly what such a line is meant to say
        remedy = "Leave the line out to let everyone of the tenant read it"
        raise UnreadableFile("front matter: acl names no group", remedy)
    if not body:
        raise UnreadableFile("no text after the front matter")
    metadata = {key: fields[key] for key in _METADATA if fields.get(key)}
    return Reading(body, fields["title"], fields["doc_id"], metadata, acl)


def _without_comments(text: str) -> str:
    """Cut out `<!-- ... -->`; a comment that is never closed runs to the end."""
    kept, end = [], 0
    while (start := text.find("<!--", end)) >= 0:
        kept.append(text[end:start])
        closed = text.find("-->", start)
        end = closed + 3 if closed >= 0 else len(text)
    return "".join([*kept, text[end:]])


def _split_front_matter(lines: list[str]) -> tuple[dict[str, str], str]:
    try:
        end = next(i for i, line in enumerate(lines[1:], start=1) if line.strip() == "---")
    except StopIteration:
        raise UnreadableFile("front matter: the closing --- is missing") from None
    fields: dict[str, str] = {}
    for number, line in enumerate(lines[1:end], start=2):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or key not in (*_REQUIRED, *_METADATA, "acl"):
            raise UnreadableFile(
                f"front matter: line {number} is not one of doc_id, title, category, language, url, acl"
            )
        if key in fields:
            raise UnreadableFile(f"front matter: {key} is given twice")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        fields[key] = value
    return fields, "\n".join(lines[end + 1 :]).strip()
