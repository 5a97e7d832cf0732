"""De-identify one DICOM object by the table in `confidentiality`. Ignores burned-in text, and says so: no OCR."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import uuid
from collections import Counter
from collections.abc import MutableSequence
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from verticals.contract import InvalidInput
from verticals.medical import confidentiality as table
from verticals.medical.schemas import Deidentification, DeidentifiedAttribute

_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_SOP_CLASS = "SOPClassUID"  # checked against the closed list in `ingest`


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

    def patient(self, patient_id: str, study_uid: str) -> str:
        """A pseudonym for `patient_id`; for an empty one, a pseudonym that is never shared between studies."""
        kind, value = ("patient", patient_id) if patient_id else ("study", study_uid)
        return f"TRV-{self.mac(kind, value.encode('utf-8', 'surrogateescape')).hex()[:16].upper()}"


def deidentify(dataset: Dataset, pseudonyms: Pseudonyms) -> tuple[Dataset, Deidentification]:
    """A new object that holds only what the table keeps, and the account of what was done.

    Args:
        dataset: As read by `ingest.read`; not changed.
    Raises:
        InvalidInput: Burned In Annotation is YES: identifying text is in the pixels (PS3.15 E.1.1).
    """
    warnings = _burned_in(dataset)
    counts: Counter[tuple[str, str, str]] = Counter()
    clean = _keep(dataset, counts)
    for keyword in table.UIDS & set(dataset.dir()):
        if uid := str(dataset[keyword].value or ""):
            setattr(clean, keyword, pseudonyms.uid(uid))
            _count(counts, keyword, "U")
    for keyword in table.EMPTIED:
        setattr(clean, keyword, "")
        _count(counts, keyword, "Z")
    clean.PatientID = pseudonyms.patient(_text(dataset, "PatientID"), str(dataset.StudyInstanceUID))
    _count(counts, table.PSEUDONYM, "D")
    _declare(clean)
    return clean, _account(counts, kept=len(clean), warnings=warnings)


def _burned_in(dataset: Dataset) -> list[str]:
    declared = _text(dataset, "BurnedInAnnotation").upper()
    if declared == "YES":
        raise InvalidInput(
            "must not be YES: the pixels hold identifying text (PS3.3 C.7.6.1, PS3.15 E.1.1)",
            field="BurnedInAnnotation (0028,0301)",
            remedy="Send an image without burned-in annotation.",
        )
    said = "says that it has no" if declared == "NO" else "does not say whether it has"
    return [f"The file {said} burned-in text (Burned In Annotation); the pixels were not checked by OCR."]


def _text(dataset: Dataset, keyword: str) -> str:
    """The value as text, or "" where it is absent or cannot be decoded."""
    try:
        return str(dataset.get(keyword) or "").strip()
    except Exception:  # noqa: BLE001 - pydicom raises many kinds on malformed values; absent is the safe reading
        return ""


def _count(counts: Counter[tuple[str, str, str]], keyword: str, action: str) -> None:
    tag = tag_for_keyword(keyword) or 0
    counts[f"({tag >> 16:04X},{tag & 0xFFFF:04X})", keyword, action] += 1


def _keep(dataset: Dataset, counts: Counter[tuple[str, str, str]]) -> Dataset:
    """The kept attributes of one level; `counts` gains the removed ones. Removed values are never even decoded."""
    clean = Dataset()
    tags = dataset.keys()  # iterating over the data set itself would decode every value
    for tag in tags:
        keyword = keyword_for_tag(tag)
        value = None if tag.is_private else _kept_value(dataset, keyword, counts)
        if value is not None:
            clean.add_new(tag, _vr(dataset, keyword), value)
        elif keyword not in table.UIDS and keyword not in table.EMPTIED and keyword != table.PSEUDONYM:
            name = "private" if tag.is_private else keyword or "unknown"
            # The element number of a private tag says nothing by itself, so that all count as one line per group.
            counts[f"({tag.group:04X},{'xxxx' if tag.is_private else f'{tag.element:04X}'})", name, "X"] += 1
    return clean


def _vr(dataset: Dataset, keyword: str) -> str:
    """The standard's VR; where it leaves a choice (US or SS, OB or OW), the file's."""
    choices = dictionary_VR(keyword).split(" or ")
    vr = str(dataset[keyword].VR)
    return vr if vr in choices else choices[0]


def _kept_value(dataset: Dataset, keyword: str, counts: Counter[tuple[str, str, str]]) -> Any:
    """The value if the table keeps it, else None."""
    if keyword in table.SEQUENCES:
        return Sequence([_keep(item, counts) for item in dataset[keyword].value or []])
    if keyword == _SOP_CLASS:
        return str(dataset[keyword].value)
    if keyword in table.NUMBERS:
        return _number(dataset, keyword)
    vocabulary = table.VOCABULARY.get(keyword)
    return None if vocabulary is None else _coded(dataset, keyword, vocabulary)


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
    text = _text(dataset, keyword)
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


def _declare(clean: Dataset) -> None:
    """State that and how the object was de-identified (PS3.3 C.7.1.1, C.12.1)."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = table.METHOD_CODE
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = table.METHOD.split("; ")
    clean.DeidentificationMethodCodeSequence = Sequence([code])
    clean.LongitudinalTemporalInformationModified = "REMOVED"


def _account(counts: Counter[tuple[str, str, str]], *, kept: int, warnings: list[str]) -> Deidentification:
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
        private_removed=sum(a.count for a in attributes if a.keyword == "private"),
        kept=kept,
        attributes=attributes,
        warnings=warnings,
    )
