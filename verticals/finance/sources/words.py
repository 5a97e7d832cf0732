"""Aspects of a source in English words: what in it raised the risk most. Ignores how strong each is."""

from __future__ import annotations

import re
from collections.abc import Mapping

from verticals.finance.histories.view import FEATURES
from verticals.finance.sources.model import ORDER

_HISTORY: Mapping[str, str] = {f.name: f.label[0].lower() + f.label[1:] for f in FEATURES} | {
    ORDER: "the order of the account's events"
}
_DOCUMENT: Mapping[str, str] = {
    "name_agreement": "the stated name is not the document's",
    "birth_date_agreement": "the stated birth date is not the document's",
    "number_agreement": "the stated number is not the document's",
    "expired": "the document has expired",
    "days_to_expiry": "the time until the document expires",
    "zone_missing": "the machine-readable zone is missing",
    "zone_checks_held": "check digits do not hold",
    "zones_differ": "the two zones of the document differ",
    "citizen_number_invalid": "the citizen number breaks its rule",
    "date_in_future": "a date lies in the future",
    "fields_missing": "fields could not be read",
    "least_confidence": "fields were read with doubt",
}
ASPECTS: Mapping[str, str] = {**_HISTORY, **_DOCUMENT}
_SENTENCE = re.compile(r"sentence_(\d+)_of_(\d+)")


def sentence_aspect(place: int, count: int) -> str:
    """The aspect that points at a sentence of a text, from 1; the text itself is not kept."""
    return f"sentence_{place}_of_{count}"


def aspect_words(aspect: str) -> str:
    """An aspect, told."""
    found = _SENTENCE.fullmatch(aspect)
    return f"sentence {found[1]} of {found[2]}" if found else ASPECTS[aspect]
