"""Names as machine-readable zones write them. Ignores scripts other than Latin.

Doc 9303-3, 6 A lets a state write some letters in two ways (Ö as OE or O): names agree when either way agrees.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

from verticals.finance.documents.mrz import FILLER

Way = Callable[[str], str]

_TWO_LETTERS: Mapping[str, str] = {"Ä": "AE", "Ö": "OE", "Ü": "UE", "Å": "AA", "Ø": "OE"}
# Letters that are no base letter with a mark, so that Unicode does not take them apart.
_ALWAYS: Mapping[str, str] = {"Æ": "AE", "Œ": "OE", "Þ": "TH", "Ð": "D", "Đ": "D", "Ł": "L", "Ħ": "H", "Ŧ": "T"}


def to_mrz(name: str) -> str:
    """A-Z and fillers for gaps and hyphens, apostrophes dropped; Ö is OE. The longer of the two ways."""
    return _write(name, {**_ALWAYS, **_TWO_LETTERS})


def to_bare(name: str) -> str:
    """The same with Ö as O: marks are dropped."""
    return _write(name, {**_ALWAYS, "Ø": "O"})


WAYS: tuple[Way, ...] = (to_mrz, to_bare)


def _write(name: str, letters: Mapping[str, str]) -> str:
    spelled = "".join(letters.get(c, c) for c in unicodedata.normalize("NFC", name).upper())
    plain = unicodedata.normalize("NFKD", spelled)
    return "".join(c if "A" <= c <= "Z" else FILLER if c in " -" else "" for c in plain)
