"""De-identify one DICOM object by the table in `confidentiality`. Ignores text in the pixels (see `burned_in`)."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import uuid
from collections import Counter
from collections.abc import MutableSequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, UID_dictionary

from verticals.medical import confidentiality as table
from verticals.medical.attributes import text_of
from verticals.medical.schemas import Deidentification, DeidentifiedAttribute

_DATE = re.compile(r"^\d{8}$", re.ASCII)
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_MAX_DAYS = 3650  # by how much dates are moved at most


class Pseudonyms:
    """Keyed, deterministic replacements of one tenant: nobody without the key can test a guess.

    Args:
        key: The tenant's secret of 32 bytes, from `tables.tenant_key`. Never logged, never exported.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError(f"key: must be at least 32 bytes (got {len(key)})")
        self._key = key

    def mac(self, kind: str, value: bytes) -> bytes:
        """HMAC-SHA256 of `value`, separate for each `kind`."""
        return hmac.digest(self._key, kind.encode() + b"\0" + value, hashlib.sha256)

    def uid(self, uid: str) -> str:
        """A UUID-derived UID (PS3.5 B.2) in place of `uid`; the same for the same input."""
        return f"2.25.{uuid.UUID(bytes=self.mac('uid', uid.encode())[:16], version=5).int}"

    def days(self, patient_id: str, study_uid: str) -> int:
        """How many days the patient's dates are moved back: 1 to 3650, the same in all of a patient's objects."""
        value = (patient_id or study_uid).encode("utf-8", "surrogateescape")
        return 1 + int.from_bytes(self.mac("days", value)[:8]) % _MAX_DAYS

    def patient(self, patient_id: str, study_uid: str) -> str:
        """A pseudonym for `patient_id`; for an empty one, a pseudonym that is never shared between studies."""
        kind, value = ("patient", patient_id) if patient_id else ("study", study_uid)
        return f"TRV-{self.mac(kind, value.encode('utf-8', 'surrogateescape')).hex()[:16].upper()}"


@dataclass(frozen=True)
class _Rewrite:
    """What one object's values are replaced with, and the count of what was done."""

    pseudonyms: Pseudonyms
    days: int
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)


def deidentify(dataset: Dataset, pseudonyms: Pseudonyms) -> tuple[Dataset, Deidentification]:
    """A new object that holds only what the table keeps, and the account of what was done.

    Args:
        dataset: As read by `ingest.read`; not changed.
    """
    identity = text_of(dataset, "PatientID"), str(dataset.StudyInstanceUID)
    rewrite = _Rewrite(pseudonyms, pseudonyms.days(*identity))
    clean = _keep(dataset, rewrite, within="")
    for keyword in table.EMPTIED:
        setattr(clean, keyword, "")
        _count(rewrite.counts, keyword, "Z")
    if "StudyDate" not in clean:
        clean.StudyDate = ""
    clean.PatientID = pseudonyms.patient(*identity)
    _count(rewrite.counts, table.PSEUDONYM, "D")
    _declare(clean)
    return clean, _account(rewrite.counts, kept=len(clean))


def _count(counts: Counter[tuple[str, str, str]], keyword: str, action: str) -> None:
    tag = tag_for_keyword(keyword) or 0
    counts[f"({tag >> 16:04X},{tag & 0xFFFF:04X})", keyword, action] += 1


def _keep(dataset: Dataset, rewrite: _Rewrite, *, within: str) -> Dataset:
    """The kept attributes of one level, by the name of the sequence it is in; what is removed is never even decoded."""
    clean = Dataset()
    tags = dataset.keys()  # iterating over the data set itself would decode every value
    for tag in tags:
        keyword = keyword_for_tag(tag)
        value = None if tag.is_private else _kept_value(dataset, keyword, rewrite, within=within)
        if value is not None:
            clean.add_new(tag, _vr(dataset, keyword), value)
            if keyword in table.UIDS or keyword in table.DATES:
                _count(rewrite.counts, keyword, "U" if keyword in table.UIDS else "C")
        elif keyword not in table.EMPTIED and keyword != table.PSEUDONYM:
            name = "private" if tag.is_private else keyword or "unknown"
            # The element number of a private tag says nothing by itself, so that all count as one line per group.
            element = "xxxx" if tag.is_private else f"{tag.element:04X}"
            rewrite.counts[f"({tag.group:04X},{element})", name, "X"] += 1
    return clean


def _vr(dataset: Dataset, keyword: str) -> str:
    """The standard's VR; where it leaves a choice (US or SS, OB or OW), the file's."""
    choices = dictionary_VR(keyword).split(" or ")
    vr = str(dataset[keyword].VR)
    return vr if vr in choices else choices[0]


def _kept_value(dataset: Dataset, keyword: str, rewrite: _Rewrite, *, within: str) -> Any:
    """The value if the table keeps it, or its replacement; else None."""
    if keyword in table.SEQUENCES.get(within, ()):
        return _items(dataset, keyword, rewrite)
    if keyword in table.UIDS:
        return rewrite.pseudonyms.uid(uid) if (uid := text_of(dataset, keyword)) else None
    if keyword in table.STANDARD_UIDS:
        return uid if (uid := text_of(dataset, keyword)) in UID_dictionary else None
    if keyword in table.DATES:
        return _moved(text_of(dataset, keyword), rewrite.days)
    if keyword in table.NUMBERS:
        return _number(dataset, keyword)
    vocabulary = table.VOCABULARY.get(keyword)
    return None if vocabulary is None else _coded(dataset, keyword, vocabulary)


def _items(dataset: Dataset, keyword: str, rewrite: _Rewrite) -> Sequence | None:
    try:
        items = dataset[keyword].value
    except Exception:  # noqa: BLE001 - a malformed sequence is removed
        return None
    if not isinstance(items, Sequence):
        return None
    return Sequence([_keep(item, rewrite, within=keyword) for item in items])


def _moved(text: str, days: int) -> str | None:
    """The date (DA, PS3.5 6.2) that many days earlier; None where it is none."""
    if not _DATE.match(text):
        return None
    try:
        return (datetime.strptime(text, "%Y%m%d").date() - timedelta(days=days)).strftime("%Y%m%d")
    except (ValueError, OverflowError):
        return None


def _number(dataset: Dataset, keyword: str) -> Any:
    """The value if it is a number, numbers, or bytes of pixel or LUT data; else None."""
    try:
        value = dataset[keyword].value
    except Exception:  # noqa: BLE001 - a malformed number is removed
        return None
    if isinstance(value, bytes):
        return value if keyword in ("PixelData", "LUTData") else None
    values = list(value) if isinstance(value, MutableSequence) else [value]
    return value if values and all(_NUMBER.match(str(v).strip()) for v in values) else None


def _coded(dataset: Dataset, keyword: str, vocabulary: frozenset[str]) -> list[str] | None:
    text = text_of(dataset, keyword)
    value = dataset[keyword].value if text else ""
    values = [value] if isinstance(value, str) else [str(v) for v in value]
    if keyword == "ImageType":
        return [v if v in vocabulary else "OTHER" for v in values]
    return values if text and all(v in vocabulary for v in values) else None


def to_file(clean: Dataset) -> bytes:
    """The de-identified object as a Part 10 file, with an empty preamble and new file meta information."""
    clean.file_meta = FileMetaDataset()
    clean.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, clean, enforce_file_format=True)
    return buffer.getvalue()


def without_meta(content: bytes) -> bytes:
    """The data set of a file that `to_file` made: its file meta information names this program's version."""
    return content[144 + int.from_bytes(content[140:144], "little") :]


def _declare(clean: Dataset) -> None:
    """State that and how the object was de-identified (PS3.3 C.7.1.1, C.12.1)."""
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = table.METHOD.split("; ")
    clean.DeidentificationMethodCodeSequence = Sequence([_code(*code) for code in table.METHOD_CODES])
    clean.LongitudinalTemporalInformationModified = "MODIFIED"


def declare_pixels_clean(clean: Dataset) -> None:
    """State that a person looked at the pixels and that no burned-in text is left (PS3.15 E.3.1)."""
    clean.BurnedInAnnotation = "NO"
    clean.DeidentificationMethodCodeSequence.append(_code(*table.CLEAN_PIXELS))


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _account(counts: Counter[tuple[str, str, str]], *, kept: int) -> Deidentification:
    attributes = [
        DeidentifiedAttribute.model_validate({"tag": tag, "keyword": keyword, "action": action, "count": n})
        for (tag, keyword, action), n in sorted(counts.items())
    ]

    def total(action: str) -> int:
        return sum(a.count for a in attributes if a.action == action)

    return Deidentification(
        method=table.METHOD,
        removed=total("X"),
        emptied=total("Z"),
        replaced=total("D"),
        uids_replaced=total("U"),
        dates_moved=total("C"),
        private_removed=sum(a.count for a in attributes if a.keyword == "private"),
        kept=kept,
        attributes=attributes,
        warnings=[],
    )
