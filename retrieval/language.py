"""Which language a text is in, by py3langid (Lui and Baldwin 2012, ACL P12-3005). Ignores texts in several."""

from __future__ import annotations

from functools import cache
from typing import Any

UNKNOWN = "und"  # BCP 47: undetermined
_MIN_CONFIDENCE = 0.3  # a name or a code alone stays below, a sentence above
_READ_CHARS = 4_000


def detect_language(text: str) -> str:
    """ISO 639-1 code of the language that the beginning of `text` is in; "und" if it gives no hold."""
    language, _ = _identifier().classify(text[:_READ_CHARS])
    return UNKNOWN if language == "zxx" else str(language)  # zxx: no words of any language


@cache
def _identifier() -> Any:
    """The model inside the package (about 5 MB, 97 languages), loaded in a second at first use."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=_MIN_CONFIDENCE)
