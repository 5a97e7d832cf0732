"""What a schema's broken rules say, in our words. Ignores who reads them, and never repeats a value.

pydantic finds them and calls each by a type; `RULES` has the words of a type, or of all that begin with its kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_NUMBER, _OBJECT, _LIST = "must be a number", "must be an object", "must be a list"
_DATE = "must be a date, such as 2026-11-30"
_TIME = "must be a date and time, such as 2026-11-30T12:00:00Z"
_ZONE = "must name its time zone, as 2026-11-30T12:00:00Z does"
RULES: Mapping[str, str] = {  # type, or its kind -> rule; places in braces are of the type's context
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "none_required": "must be left out",
    "json_invalid": "must be well-formed JSON",
    "string": "must be a text",
    "string_unicode": "must be a text in UTF-8",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be of the form {pattern}",
    "bytes": "must be a text",
    "bytes_too_short": "must have {min_length} or more bytes",
    "bytes_too_long": "must have at most {max_length} bytes",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "int": "must be a whole number",
    "float": _NUMBER,
    "decimal": _NUMBER,
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "decimal_max_digits": "must have at most {max_digits} digits",
    "decimal_max_places": "must have at most {decimal_places} decimal places",
    "decimal_whole_digits": "must have at most {whole_digits} digits before the point",
    "bool": "must be true or false",
    "date": _DATE,
    "date_past": "must lie in the past",
    "date_future": "must lie in the future",
    "datetime": _TIME,
    "datetime_past": "must lie in the past",
    "datetime_future": "must lie in the future",
    "timezone_aware": _ZONE,
    "timezone_naive": "must not name a time zone",
    "list": _LIST,
    "tuple": _LIST,
    "set": _LIST,
    "frozen_set": _LIST,
    "too_short": "must hold {min_length} or more entries",
    "too_long": "must hold at most {max_length} entries",
    "dict": _OBJECT,
    "mapping": _OBJECT,
    "model": _OBJECT,
    "model_attributes": _OBJECT,
    "dataclass": _OBJECT,
    "union_tag_not_found": "must say its kind",
    "union_tag_invalid": "must be of the kind {expected_tags}",
}
OTHER = "must be as the schema says"  # of the types that no schema of ours has
_OWN = ("value_error", "assertion_error")  # rules of ours, in our words: behind the framework's own
_PLACE = re.compile(r"line \d+ column \d+$")  # of what is wrong in a text of JSON
_SIZES = frozenset(name for name in RULES if name.endswith(("too_short", "too_long")))


def rule_of(found: Mapping[str, Any]) -> str:
    """The rule that one of `ValidationError.errors()` tells of."""
    kind, context = str(found["type"]), found.get("ctx") or {}
    if kind in _OWN:
        return str(found["msg"]).partition(", ")[2]
    if kind == "json_invalid" and (place := _PLACE.search(str(context.get("error")))):
        return f"{RULES[kind]}: {place[0]}"
    rule = RULES.get(kind) or RULES.get(kind.split("_", 1)[0]) or RULES.get(kind.rpartition("_")[0], OTHER)
    return rule.format(**{name: _told(value) for name, value in context.items()})


def size_of(found: Mapping[str, Any]) -> int | None:
    """How many characters or entries there are, where the rule is about that; it may be told, the value may not."""
    return len(found["input"]) if found["type"] in _SIZES and "input" in found else None


def first_of(error: ValidationError, *, whole: str) -> tuple[str, str]:
    """The first field that breaks a rule, and the rule; `whole` names what has no field."""
    found = error.errors(include_url=False)[0]
    return ".".join(map(str, found["loc"])) or whole, rule_of(found)


def _told(value: object) -> str:
    """A limit as people write it; choices with commas alone."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return ", ".join(str(value).rsplit(" or ", 1))
