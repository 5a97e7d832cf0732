"""What "it" and "its address" stand for: the order or the membership that was last spoken of. Ignores tasks.

Only the customer's own messages count, so that no article or tool result chooses what a change is made to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAMED = re.compile(
    r"(?P<order>\bmp[- ]?\d{5}\b|\b(?:order|parcel|package|delivery)\b)|"
    r"(?P<membership>\b(?:membership|subscription|maple circle)\b)"
)
_OWN = re.compile(rf"{_NAMED.pattern}|\b(?:account|default|profile|billing|e-?mail|moved)\b")
_WHOSE = re.compile(r"\b(?:its|the|that|this)(?= address\b)")
_WHAT = re.compile(r"\b(?:it|that)\b(?!['’])")


def with_referent(said: Sequence[str]) -> str:
    """The last message with "my order" or "my membership" for a pronoun; as it is if it says itself what it is about.

    Args:
        said: The customer's messages in lower case, latest last.
    """
    *earlier, last = said
    named = next((found[-1] for text in reversed(earlier) if (found := list(_NAMED.finditer(text)))), None)
    if named is None or _OWN.search(last):
        return last
    return _WHAT.sub(f"my {named.lastgroup}", _WHOSE.sub(f"my {named.lastgroup}'s", last))
