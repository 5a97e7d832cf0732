"""The three sources beside the application's table, and how a policy may treat them. Ignores what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Source = Literal["history", "text", "document"]
Mode = Literal["use", "shadow", "off"]  # counts; is computed and shown beside the score; is not read

SOURCES: tuple[Source, ...] = get_args(Source)
"""In the order in which their terms are added to the logit."""

TERM_COLUMNS = tuple(f"{source}_logit" for source in SOURCES)
"""What a term is called as a column of a table."""

LABELS: Mapping[Source, str] = {
    "history": "Account history",
    "text": "Text of the application",
    "document": "Identity document",
}
