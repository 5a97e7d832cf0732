"""Finance: what history, text and document of a customer add to a score, each with its state and bound.

Ignores how the terms are made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from verticals.finance.sources.schemas import SourcePart

_SENTENCE = re.compile(r"sentence_(\d+)_of_(\d+)")


def source_states(labels: Labels, found: Sequence[SourcePart]) -> None:
    """One line a source, and a banner where simulated outcomes count."""
    st.markdown(f"**{labels('sources.title')}**")
    if any(part.synthetic and part.state == "used" for part in found):
        parts.banner(labels("sources.synthetic"))
    for part in found:
        effect = part.logit if part.shadow_logit is None else part.shadow_logit
        bound = (
            "" if part.bound is None else labels("sources.effect", effect=f"{effect:+.2f}", bound=f"{part.bound:.1f}")
        )
        facts = [bound, parts.when(part.as_of) if part.as_of else "", aspect_words(labels, part)]
        told = " · ".join(fact for fact in facts if fact)
        st.markdown(
            f":gray-badge[{labels(f'sources.{part.state}')}] {labels(f'source.{part.source}')} "
            f":gray[{parts.plain(labels.said(part.because) or told)}]"
        )


def source_detail(labels: Labels, part: SourcePart) -> str:
    """The second line of a source in the waterfall."""
    bound = "" if part.bound is None else f", ±{part.bound:.1f}"
    return f"{labels(f'sources.{part.state}')}{bound}"


def aspect_words(labels: Labels, part: SourcePart) -> str:
    """What in a source raised the risk most, in the reader's language."""
    return ", ".join(_aspect(labels, aspect.name, aspect.text) for aspect in part.aspects)


def _aspect(labels: Labels, name: str, text: str) -> str:
    if labels.language == "en":
        return text
    if found := _SENTENCE.fullmatch(name):
        return labels("sources.sentence", place=found[1], count=found[2])
    return labels.get(f"aspect.{name}", text)
