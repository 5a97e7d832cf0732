"""Pieces that every view uses: asking the API calmly, notices, empty states, facts. Ignores what views show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Literal, TypeVar

import streamlit as st

from dashboards import charts
from dashboards.i18n import Labels
from service.client import ApiError

T = TypeVar("T")
Colour = Literal["gray", "green", "orange", "red", "primary"]

TONES: dict[str, charts.Tone] = {"approve": "good", "refer": "doubt", "decline": "bad"}
MOST_FIELDS = 6  # of the fields that are wrong, so many are named

# Streamlit's own defaults leave too much air above the page and let text run across a wide screen.
STYLE = """
<style>
[data-testid="stMainBlockContainer"] { max-width: 1560px; padding-top: 4.2rem; padding-bottom: 3rem; }
[data-testid="stMarkdownContainer"] p, [data-testid="stMarkdownContainer"] li { max-width: 92ch; }
[data-testid="stMetric"] label p { font-size: 0.87rem; }
h1 { letter-spacing: -0.01em; padding: 0 0 0.1rem !important; }
.facts { width: 100%; border-collapse: collapse; font-size: 0.93rem; }
.facts td { padding: 0.34rem 0.5rem 0.34rem 0; overflow-wrap: anywhere; vertical-align: top;
  border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent); }
.facts td:first-child { opacity: 0.72; width: 42%; }
.facts tr:last-child td { border-bottom: none; }
.intervals { width: 100%; border-collapse: collapse; font-size: 0.93rem; }
.intervals td { padding: 0.36rem 0.8rem 0.36rem 0; vertical-align: middle;
  border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent); }
.intervals tr:last-child td { border-bottom: none; }
.intervals td.name { width: 38%; overflow-wrap: anywhere; }
.intervals td.figure { width: 20%; font-variant-numeric: tabular-nums; font-weight: 600; white-space: nowrap; }
.intervals small { display: block; font-weight: 400; opacity: 0.72; font-size: 0.82rem; }
.intervals td.verdict { width: 12%; text-align: right; padding-right: 0; font-weight: 600; }
div.verdict { font-size: 0.87rem; line-height: 1.83; }
div.verdict strong { display: block; font-size: 1.6rem; font-weight: 600; line-height: 1.3; }
.banner { border-left: 4px solid #D9A441; background: color-mix(in srgb, #D9A441 13%, transparent);
  padding: 0.5rem 0.9rem; border-radius: 0.4rem; font-size: 0.93rem; }
</style>
"""
DARK_STYLE = """
<style>
[data-testid^="stBaseButton-primary"], [data-testid^="stBaseButton-primary"]:hover { color: #0C1B19; }
</style>
"""


def style() -> None:
    """Add the style sheet. On the dark theme's light accent, a button's text is dark."""
    st.html(STYLE + (DARK_STYLE if st.context.theme.type == "dark" else ""))


def ask(labels: Labels, question: Callable[[], T], *, waiting: str | None = None) -> T | None:
    """The API's answer; on failure show the problem calmly and return None."""
    try:
        if waiting is None:
            return question()
        with st.spinner(waiting):
            return question()
    except ApiError as error:
        show_problem(labels, error)
        return None


def show_problem(labels: Labels, error: ApiError) -> None:
    """Say what went wrong, in which field, by which rule, and what to do. Never a stack trace."""
    lines = [f"**{plain(labels.said(error.title))}**"]
    lines.append(plain(labels.said(error.rule or error.detail)))
    if error.field:
        got = labels("problem.got", value=error.value) if error.value is not None else ""
        lines.append(
            f"{labels('problem.field')}: {labels.get(f'field.{error.field}', '')} `{error.field}` {plain(got)}"
        )
    for other in error.errors[1:MOST_FIELDS]:  # the first is the field above
        lines.append(f"{labels('problem.field')}: `{other.get('field')}` {plain(labels.said(str(other.get('rule'))))}")
    if error.remedy:
        lines.append(f"{labels('problem.remedy')}: {plain(labels.said(error.remedy))}")
    if error.request_id:
        lines.append(f":small[{labels('problem.request')}: `{error.request_id}`]")
    st.warning("\n\n".join(line for line in lines if line), icon=":material/info:")


def tabs(labels: Labels, group: str, names: Sequence[str]) -> Sequence[Any]:
    """Tabs of the labels `group.name`; the open one stays open in another language, where all are new to Streamlit.

    Its `open` says whether it is: what the others hold need not be drawn.
    """
    shown = {labels(f"{group}.{name}"): name for name in names}
    kept, key = f"{group}.tab", f"{group}.tab.{labels.language}"

    def remember() -> None:
        st.session_state[kept] = shown[st.session_state[key]]

    if not names:
        st.info(labels("login.nothing"), icon=":material/lock:")
        return ()
    last = st.session_state.get(kept)
    opened = labels(f"{group}.{last if last in names else names[0]}")
    return st.tabs(list(shown), default=opened, key=key, on_change=remember)


def empty(text: str, hint: str) -> None:
    """An empty state: what would be here, and what to do about it."""
    with st.container(border=True, horizontal_alignment="center", gap="xsmall"):
        st.space("small")
        st.markdown(f"**{text}**", width="content")
        st.caption(hint, width="content", text_alignment="center")
        st.space("small")


def offset(key: str, size: int) -> int:
    """How many rows lie before the page of `size` rows that `pager` let the reader choose."""
    return size * (int(st.session_state.get(key, 1)) - 1)


def pager(total: int, *, key: str, size: int) -> None:
    """The pages of `total` rows to choose from, if there are several; the session keeps which under `key`, from 1."""
    pages = -(-total // size)
    if pages > 1:
        st.pagination(pages, key=key)


def banner(text: str) -> None:
    """A standing notice that a reader must not miss."""
    st.html(f'<div class="banner" role="note">{escape(text)}</div>')


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """A two-column table of names and values."""
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    st.html(f'<table class="facts">{cells}</table>')


@dataclass(frozen=True)
class IntervalRow:
    """A figure with its 95 % interval. `domain` is what the left and the right edge of its picture mean.

    `form` is how the three numbers are written, as a format specification.
    """

    name: str
    value: float
    low: float
    high: float
    domain: tuple[float, float]
    baseline: float | None = None
    last: float | None = None
    note: str = ""
    verdict: str = ""
    tone: charts.Tone | None = None
    form: str = ".4g"


def intervals(rows: Sequence[IntervalRow]) -> None:
    """A table of figures: name, value with its interval, a picture of both with the baseline as a dashed mark."""
    colours = palette()
    lines = []
    for row in rows:
        picture = charts.interval_html(
            row.value,
            low=row.low,
            high=row.high,
            baseline=row.baseline,
            last=row.last,
            domain=row.domain,
            palette=colours,
        )
        value, low, high = (format(number, row.form) for number in (row.value, row.low, row.high))
        lines.append(
            f'<tr><td class="name">{escape(row.name)}<small>{escape(row.note)}</small></td>'
            f'<td class="figure">{value}<small>{low} – {high}</small></td><td>{picture}</td>'
            + (
                f'<td class="verdict" style="color:{_tint(colours, row.tone)}">{escape(row.verdict)}</td>'
                if any(one.verdict for one in rows)
                else ""
            )
            + "</tr>"
        )
    st.html(f'<table class="intervals">{"".join(lines)}</table>')


def _tint(colours: charts.Palette, tone: charts.Tone | None) -> str:
    return {"good": colours.good, "doubt": colours.doubt, "bad": colours.bad, None: "inherit"}[tone]


def verdict(label: str, text: str, *, tone: charts.Tone) -> None:
    """A result in words, as large as a metric and in its tone."""
    colour = _tint(palette(), tone)
    st.html(f'<div class="verdict">{escape(label)}<strong style="color:{colour}">{escape(text)}</strong></div>')


def palette() -> charts.Palette:
    """Chart colours of the theme that the reader's browser shows."""
    return charts.DARK if st.context.theme.type == "dark" else charts.LIGHT


def when(moment: datetime) -> str:
    """Date and time in UTC, to the minute. A time without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def plain(text: str) -> str:
    """`text` without the characters that Markdown would read."""
    return "".join(f"\\{char}" if char in r"\`*_{}[]<>#|$~:" else char for char in text)
