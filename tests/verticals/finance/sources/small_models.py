"""A small model of sources with weights that are easy to follow, an embedder, and what was read of a customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.contract import ModelCard
from verticals.finance.documents.mismatch import RULES
from verticals.finance.sources.inputs import DOCUMENT, history_names, text_names
from verticals.finance.sources.model import NAME, SourceHead, SourceModel, to_files
from verticals.finance.sources.names import SOURCES, Mode, Source
from verticals.finance.sources.reading import Kept, Reading, read_sources

CARD: Mapping[str, Any] = dict.fromkeys(("trained_on", "licence", "recipe", "limits"), "synthetic") | {"metrics": {}}
ALL: Mapping[Source, Mode] = dict.fromkeys(SOURCES, "use")
DAY = datetime(2026, 6, 30, tzinfo=UTC)


class FakeEmbedder:
    """Three numbers of a text: how often it says "lost", "contract", and a constant."""

    name, dim = "fake@1", 3

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[t.count("lost"), t.count("contract"), 1.0] for t in texts], np.float32)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self.embed([text])[0]


def head(reads: str, names: tuple[str, ...], *, bound: float, **weights: float) -> SourceHead:
    size = len(names)
    weight_D = np.array([weights.get(name, 0.0) for name in names])
    return SourceHead(reads, names, np.zeros(size), np.ones(size), weight_D, np.zeros(size), bias=0.0, bound=bound)


def small_model(*, synthetic: bool = True, encoder_id: str = "encoder@1", dim: int = 8) -> SourceModel:
    heads: Mapping[Source, tuple[SourceHead, ...]] = {
        "history": (head(encoder_id, history_names(dim), bound=2.0, num_late_fees=0.9, vector_0=0.3),),
        "text": (head(FakeEmbedder.name, text_names(3), bound=1.5, vector_0=0.8, vector_1=-0.2),),
        "document": (head(RULES, DOCUMENT, bound=1.5, expired=1.1, zones_differ=2.0),),
    }
    gates = {
        present: tuple((0.9 if all(present) else 0.8) * there for there in present)
        for present in product((False, True), repeat=3)
    }
    return SourceModel("finance.sources@small", heads, gates, synthetic)


def register(registry: Any, model: SourceModel) -> ModelCard:
    found: ModelCard = registry.save(NAME, to_files(model), CARD)
    return found


def kept(**bounded: float) -> dict[Source, Kept]:
    """Terms by source."""
    aspects = {"history": ("num_late_fees", "order"), "text": ("sentence_2_of_3",), "document": ("expired",)}
    return {s: Kept(bounded[s], f"e-{s}", DAY, aspects[s]) for s in SOURCES if s in bounded}


def reading(model: SourceModel | None = None, modes: Mapping[Source, Mode] = ALL, **bounded: float) -> Reading:
    """Of a simulated customer."""
    return read_sources(model or small_model(), modes, kept(**bounded), is_simulated=True)
