"""HTML to Markdown: headings, paragraphs, lists, tables, code. Ignores links, images, forms, navigation and scripts.

What a browser would not show is not read, for it is how instructions to a language model are slipped into a page:
elements hidden by attribute, by their own style or by a rule of the page's style sheet. Other style sheets, and text in
the colour of an outer background, are not seen through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from retrieval.readers.reading import Reading, UnreadableFile
from retrieval.readers.text import decode, escape, one_line, table

_SKIPPED = (
    *("head", "script", "style", "template", "noscript", "svg", "math", "iframe", "object", "embed", "canvas"),
    *("audio", "video", "nav", "footer", "aside", "form", "button", "select", "textarea", "input", "dialog"),
)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = (
    *("address", "article", "blockquote", "body", "center", "dd", "details", "div", "dl", "fieldset", "figcaption"),
    *("figure", "header", "hr", "html", "li", "main", "ol", "p", "section", "table", "tbody", "td", "th", "tr", "ul"),
)
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|(?:opacity|font-size)\s*:\s*0(?:\.0+)?(?![.\d])"
    r"|(?:left|top|text-indent|margin-left)\s*:\s*-\d{3}|clip\s*:\s*rect\(\s*0|color\s*:\s*transparent"
    r"|(?:^|[;{\s])(?:max-)?(?:height|width)\s*:\s*0(?:px)?\s*(?:[;!]|$)",
    re.IGNORECASE,
)
_SIMPLE_SELECTOR = re.compile(r"[\w-]*([.#][\w-]+)")
_CHARSET = re.compile(  # no other names: some of Python's codecs take the square of the text's length
    rb"""<meta[^>]{0,200}?charset\s{0,20}=\s{0,20}["']?"""
    rb"(utf-8|gb[\w-]{1,9}|big5[\w-]{0,9}|iso-8859-\d+|windows-\d+|shift_jis|euc-\w\w|koi8-\w)\b",
    re.IGNORECASE,
)
_MAX_SPAN = 20  # rows or columns that a cell fills
_MAX_REPEATED_CHARS = 200  # of a cell that fills several
_XML_HEAD = re.compile(r"^\s*<\?xml[^>]*>")


def read(content: bytes) -> Reading:
    """Read a page: its `main` part if it has one. The title is its one first-level heading, else its `title`.

    Raises:
        UnreadableFile: not text, or nothing that the parser takes for a page.
    """
    from lxml import etree

    text = _XML_HEAD.sub("", _decode(content))
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.LxmlError:
        root = None
    if root is None:
        raise UnreadableFile("not an HTML page")
    title = one_line("".join(next(root.iter("title"), root.makeelement("title")).itertext()))
    _drop_hidden(root)
    page = _Page()
    page.read(next(root.iter("main"), root))
    return Reading("\n\n".join(page.blocks), title=page.titles[0] if len(page.titles) == 1 else title)


def _decode(content: bytes) -> str:
    named = _CHARSET.search(content[:2_048])
    if named and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return content.decode(named[1].decode("ascii"))
        except (LookupError, ValueError):
            pass  # the page is wrong about itself
    return decode(content)


def _drop_hidden(root: Any) -> None:
    from lxml import etree

    by_css = {name for style in root.iter("style") for name in _hidden_by(style.text or "")}
    for element in list(root.iter()):
        if _is_hidden(element, by_css):
            element.tag = "template"
    etree.strip_elements(root, *_SKIPPED, with_tail=False)


def _hidden_by(css: str) -> Iterator[str]:
    """Classes (".x") and ids ("#x") that a rule outside of conditions (`@media`) hides."""
    open_rules: list[str] = []
    last = ""
    for part in re.split(r"([{}])", css):
        if part == "{":
            open_rules.append(last.rpartition("*/")[2])
        elif part == "}":
            selectors = open_rules.pop() if open_rules else ""
            if not open_rules and _HIDING.search(last):
                matches = (_SIMPLE_SELECTOR.fullmatch(selector.strip()) for selector in selectors.split(","))
                yield from (match[1] for match in matches if match)
        last = "" if part in "{}" else part


def _is_hidden(element: Any, hidden: set[str]) -> bool:
    names = {f".{name}" for name in element.get("class", "").split()} | {f"#{element.get('id', '')}"}
    style = element.get("style", "")
    colours = dict(part.replace(" ", "").lower().split(":", 1) for part in style.split(";") if ":" in part)
    colour = colours.get("color")
    return (
        element.get("hidden") is not None
        or element.get("aria-hidden", "").lower() == "true"
        or bool(_HIDING.search(style))
        or bool(names & hidden)
        or (colour is not None and colour in (colours.get("background-color"), colours.get("background")))
    )


class _Page:
    """Collects blocks while the tree is walked, without recursion."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.titles: list[str] = []  # first-level headings
        self._text: list[str] = []  # of the open paragraph or item
        self._marker = ""  # of the open item
        self._lists: list[int | None] = []  # number of the last item; None in a list without numbers
        self._level = 1  # of the last heading

    def read(self, root: Any) -> None:
        from lxml import etree

        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            if event == "start":
                if self._add_whole(element):
                    walk.skip_subtree()
                else:
                    self._open(element.tag)
                    self._text.append(element.text or "")
            else:
                self._close(element.tag)
                self._text.append((element.tail or "") if element is not root else "")
        self._flush()

    def _add_whole(self, element: Any) -> bool:
        """Add an element that is one block; False if it is none, so that its children are looked at."""
        if element.tag == "pre":
            self._flush()
            code = "".join(element.itertext()).strip("\n")
            fence = "~~~" if "```" in code else "```"
            self.blocks += [f"{fence}\n{code}\n{fence}"] if code.strip() else []
        elif element.tag in (*_HEADINGS, "summary"):
            self._flush()
            self._add_heading(element.tag, one_line("".join(element.itertext())))
        elif element.tag == "dt":
            self._flush()
            term = one_line("".join(element.itertext()))
            self.blocks += [escape(term if term.endswith((":", "：", "?", "？")) else f"{term}:")] if term else []
        elif element.tag == "table" and len(rows := _rows(element)) > 0:
            self._flush()
            caption = one_line(" ".join(element.xpath("caption//text()")))
            self.blocks += [*([escape(caption)] if caption else []), table(rows)]
        else:
            return False
        return True

    def _add_heading(self, tag: str, name: str) -> None:
        level = min(self._level + 1, 6) if tag == "summary" else int(tag[1])
        if name:
            self.blocks.append(f"{'#' * level} {name}")
            self.titles += [name] if level == 1 else []
        if tag != "summary":
            self._level = level

    def _open(self, tag: str) -> None:
        if self._breaks(tag):
            self._flush()
        if tag in ("ul", "ol"):
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "dd":
            self._marker = "- "
        elif tag == "li":
            number = self._lists[-1] if self._lists else None
            if number is not None:
                self._lists[-1] = number + 1
            sign = "-" if number is None else f"{number + 1}."
            self._marker = f"{'  ' * (len(self._lists) - 1)}{sign} "

    def _close(self, tag: str) -> None:
        if self._breaks(tag):
            self._flush()
        if tag in ("ul", "ol"):
            self._lists.pop()
        if tag in _BLOCKS or tag == "br":
            self._text.append(" ")

    def _breaks(self, tag: str) -> bool:
        """Paragraphs of an item stay in the item."""
        return tag in _BLOCKS and not (self._lists and tag in ("p", "div"))

    def _flush(self) -> None:
        text = one_line("".join(self._text))
        self._text.clear()
        if text:
            self.blocks.append(self._marker + escape(text))
            self._marker = ""


def _rows(element: Any) -> list[list[str]]:
    """Cells of a table, those that span rows or columns in each; empty if the table only places blocks on the page."""
    rows: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}  # column -> rows still to fill, text
    for row in element.iter("tr"):
        if next(row.iterancestors("table")) is not element:
            continue  # a table in a cell is text of the cell
        cells: list[str] = []
        for cell in row.iterchildren("td", "th"):
            while (over := below.get(len(cells))) and over[0] > 0:
                below[len(cells)] = (over[0] - 1, over[1])
                cells.append(over[1])
            text = one_line(" ".join(cell.itertext()))
            repeated = text if len(text) <= _MAX_REPEATED_CHARS else ""
            for i in range(_span(cell, "colspan")):
                below[len(cells)] = (_span(cell, "rowspan") - 1, repeated)
                cells.append(repeated if i else text)
        rows.append(cells)
    rows = [row for row in rows if any(row)]
    return rows if any(len(row) > 1 for row in rows) else []


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "")[:9]
    return max(1, min(int(value), _MAX_SPAN)) if value.isascii() and value.isdigit() else 1
