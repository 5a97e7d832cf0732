"""A reading in the words of the API. Ignores how it was read."""

from __future__ import annotations

from collections.abc import Mapping

from verticals.finance.sources.names import LABELS
from verticals.finance.sources.reading import Because, Part, Reading
from verticals.finance.sources.schemas import SourceAspect, SourcePart
from verticals.finance.sources.words import aspect_words

BECAUSE: Mapping[Because, str] = {
    "": "",
    "nothing_kept": "nothing that the model reads is on file for this customer, or its term is still being made",
    "policy": "the policy in force says so",
    "synthetic_model": "the term was learned from simulated outcomes, and the customer is not simulated",
    "no_model": "no model of sources is registered",
}
NO_TERM = (
    "it was kept, but the model in force has no term for texts that {reader} read: "
    "train one with `trivium finance train-sources`"
)


def tell_parts(reading: Reading, *, factor: float) -> list[SourcePart]:
    """Each source, in order.

    Args:
        factor: Points for one unit of ln(odds good:bad).
    """
    return [_tell(reading, part, factor) for part in reading.parts]


def source_reason(part: Part, text: str) -> str:
    """A principal reason: what is wrong with a source, and what in it most of all."""
    aspects = [aspect_words(name) for name in part.kept.aspects] if part.kept else []
    return f"{text}: {', '.join(aspects)}" if aspects else text


def _tell(reading: Reading, part: Part, factor: float) -> SourcePart:
    aspects = part.kept.aspects if part.kept else ()
    return SourcePart(
        source=part.source,
        label=LABELS[part.source],
        state=part.state,
        because=BECAUSE[part.because],
        logit=part.term,
        points=-factor * part.term if part.term else 0.0,
        shadow_logit=part.shadow,
        bound=part.bound,
        as_of=part.kept.as_of if part.kept else None,
        aspects=[SourceAspect(name=name, text=aspect_words(name)) for name in aspects],
        model_version=reading.model_version,
        synthetic=reading.is_synthetic_model,
    )
