"""How an attribute is named, required and refused: keyword, tag, rule, clause. Ignores what the attributes mean."""

from __future__ import annotations

from typing import Any, NoReturn

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from verticals.contract import InvalidInput


def name(keyword: str) -> str:
    """ "PatientID (0010,0020)"."""
    tag = BaseTag(tag_for_keyword(keyword) or 0)
    return f"{keyword} ({tag.group:04x},{tag.element:04x})"


def refuse(keyword: str, rule: str, clause: str, value: object = None) -> NoReturn:
    """Raise `InvalidInput` for an attribute. `value` must be no patient's: a number, a type, a closed code."""
    # The cause may quote a value, which may be a patient's.
    raise InvalidInput(f"{rule} ({clause})", field=name(keyword), value=value) from None


def body_part(dataset: Dataset) -> str:
    """Body Part Examined, or "UNKNOWN" where the header does not say."""
    return str(dataset.get("BodyPartExamined", "")) or "UNKNOWN"


def text_of(dataset: Dataset, keyword: str) -> str:
    """The value as text, or "" where it is absent or cannot be decoded."""
    try:
        return str(dataset.get(keyword) or "").strip()
    except Exception:  # noqa: BLE001 - pydicom raises many kinds on malformed values; absent is the safe reading
        return ""


def value_of(dataset: Dataset, keyword: str, clause: str) -> Any:
    """The decoded value of a required attribute.

    Raises:
        InvalidInput: it is absent, empty or not decodable.
    """
    try:
        value = dataset[keyword].value
    except KeyError:
        refuse(keyword, "is required", clause)
    except Exception:  # noqa: BLE001 - pydicom raises many kinds on malformed values
        refuse(keyword, "must be decodable in its VR", "PS3.5 6.2")
    if value is None or value == "":
        refuse(keyword, "must not be empty", clause)
    return value


def numbers_of(dataset: Dataset, keyword: str, count: int, clause: str) -> list[float]:
    """A required attribute of `count` finite numbers.

    Raises:
        InvalidInput: it is not.
    """
    value = value_of(dataset, keyword, clause)
    try:
        numbers = [float(v) for v in ([value] if count == 1 else value)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not all(abs(v) <= 1e9 for v in numbers):
        refuse(keyword, f"must be {count} number{'s' if count > 1 else ''} of at most 1e9 in size", clause)
    return numbers
