"""What the guideline calculators share: the answers that have no row. Ignores the guidelines' tables."""

from __future__ import annotations

from collections.abc import Sequence

from verticals.medical.ct.guideline_schemas import Ask, GuidelineAnswer


def asking(source: str, asks: Sequence[Ask]) -> GuidelineAnswer:
    """The answer that needs more."""
    return GuidelineAnswer(status="asks", source=source, asks=list(asks))


def outside(source: str, why: str) -> GuidelineAnswer:
    """The answer that the guideline is not for this."""
    return GuidelineAnswer(status="does not apply", source=source, notes=[why])


def silent(source: str, why: str) -> GuidelineAnswer:
    """The answer that no row fits."""
    return GuidelineAnswer(status="no row", source=source, notes=[why])
