"""Objects with a value of its own planted in attributes of every VR, at every depth: what must not come out again.

Nothing here is a patient's. Ignores pixels (see `burned_in`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from verticals.medical import confidentiality as table
from verticals.medical.probes import to_bytes

# What makes the file an image that can be read, and numbers and codes that are meant to stay.
_SEQUENCES = frozenset().union(*table.SEQUENCES.values())
KEPT = table.NUMBERS | frozenset(table.VOCABULARY) | _SEQUENCES | table.STANDARD_UIDS
_FRAME = frozenset(
    (
        *("DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "FloatPixelData"),
        *("PixelDataProviderURL", "SpecificCharacterSet"),
    )
)
_REPEATED = ((0x6000, 0x3000, "OW"), (0x6002, 0x4000, "LT"), (0x5000, 0x3000, "OW"), (0x5004, 0x2500, "LO"))

Rng = random.Random


def _digits(rng: Rng, count: int) -> str:
    return "".join(rng.choices("123456789", k=count))


def _bytes(rng: Rng, count: int) -> bytes:
    return bytes(rng.choices(range(1, 256), k=count))


# VR -> a value that occurs nowhere else, valid in that VR (PS3.5 6.2).
MAKERS: dict[str, Callable[[Rng], bytes]] = {
    **dict.fromkeys(("LO", "SH", "LT", "ST", "UT", "UC", "UR"), lambda r: f"Erika Muster{_digits(r, 6)}".encode()),
    "PN": lambda r: f"Muster{_digits(r, 6)}^Erika".encode(),
    "AE": lambda r: f"AE{_digits(r, 8)}".encode(),
    "CS": lambda r: f"NAME_{_digits(r, 8)}".encode(),
    "AS": lambda r: f"{_digits(r, 3)}Y".encode(),
    "DA": lambda r: f"19{r.randint(10, 99)}{r.randint(1, 12):02}{r.randint(1, 28):02}".encode(),
    "TM": lambda r: f"{r.randint(0, 23):02}{r.randint(0, 59):02}{r.randint(0, 59):02}.{_digits(r, 5)}".encode(),
    "DT": lambda r: f"19{r.randint(10, 99)}{r.randint(1, 12):02}{r.randint(1, 28):02}1213.{_digits(r, 5)}".encode(),
    "UI": lambda r: f"1.2.840.{_digits(r, 9)}.{_digits(r, 9)}".encode(),
    "IS": lambda r: _digits(r, 9).encode(),
    "DS": lambda r: f"{_digits(r, 7)}.{_digits(r, 6)}".encode(),
    **dict.fromkeys(("US", "SS", "UL", "SL", "FL", "FD", "AT", "SV", "UV"), lambda r: _bytes(r, 16)),
    **dict.fromkeys(("OB", "OW", "OF", "OD", "OL", "OV", "UN"), lambda r: _bytes(r, 16)),
}


def plant(dataset: Dataset, seed: int, *, per_vr: int = 6) -> tuple[bytes, list[bytes]]:
    """The object as a file, and every value that was planted in it."""
    rng = Rng(seed)
    planted: list[bytes] = []
    _fill(dataset, rng, planted, per_vr=per_vr)
    for depth, keyword in enumerate(rng.sample(_keywords("SQ"), 6), start=1):
        dataset[keyword] = _nested(dataset, keyword, rng, planted, depth=depth)
    reference = Dataset()  # a sequence that is kept, with new UIDs
    _fill(reference, rng, planted, per_vr=1)
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.SourceImageSequence = Sequence([reference])
    for item in dataset.get("PerFrameFunctionalGroupsSequence") or []:
        _fill(item.PlanePositionSequence[0], rng, planted, per_vr=1)
        _fill(item, rng, planted, per_vr=1)
    for group, element, vr in _REPEATED:
        _set(dataset, Tag(group, element), vr, rng, planted)
    around = [MAKERS["AE"](rng), MAKERS["PN"](rng), MAKERS["OB"](rng)]
    dataset.file_meta.SourceApplicationEntityTitle = around[0].decode()
    dataset.preamble = around[1].ljust(128, b" ")
    dataset.add_new(0xFFFCFFFC, "OB", around[2])  # behind the pixels
    return to_bytes(dataset), planted + around


def _nested(parent: Dataset, keyword: str, rng: Rng, planted: list[bytes], *, depth: int) -> object:
    item = Dataset()
    _fill(item, rng, planted, per_vr=1)
    if depth > 1:
        inner = rng.choice(_keywords("SQ"))
        item[inner] = _nested(item, inner, rng, planted, depth=depth - 1)
    setattr(parent, keyword, Sequence([item]))
    return parent[keyword]


def _fill(dataset: Dataset, rng: Rng, planted: list[bytes], *, per_vr: int) -> None:
    for vr in MAKERS:
        known = _keywords(vr)
        for keyword in rng.sample(known, min(per_vr, len(known))):
            _set(dataset, Tag(keyword), vr, rng, planted)
        private = Tag(rng.randrange(0x0011, 0x0099, 2), 0x1000 + rng.randrange(0xFF))
        _set(dataset, private, vr, rng, planted)


@cache
def _keywords(vr: str) -> list[str]:
    found = (
        keyword_for_tag(tag)
        for tag, (vrs, *_rest) in DicomDictionary.items()
        if vr in vrs.split(" or ") and tag >> 16 not in (0, 2, 4) and tag != 0x7FE00010
    )
    return sorted({keyword for keyword in found if keyword and keyword not in KEPT | _FRAME})


def _set(dataset: Dataset, tag: Tag, vr: str, rng: Rng, planted: list[bytes]) -> None:
    """Raw bytes, so that what is planted is what is written."""
    value = MAKERS[vr](rng)
    planted.append(value)
    padded = value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    dataset[tag] = RawDataElement(tag, vr, len(padded), padded, 0, False, True)
