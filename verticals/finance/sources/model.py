"""The terms as a registered artefact: one head a source, bounded, and a gate that knows which sources there are.

    term = gate(which sources are there) * bound * tanh(raw / bound),   raw = bias + sum of parts, a part an input

An absent source has no term at all: nothing is added. Ignores training and storage; safetensors and JSON, never pickle.
Shapes: D inputs of a source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.contract import ModelRegistry, Unavailable
from verticals.finance.sources.inputs import DOCUMENT, VECTOR, VIEW
from verticals.finance.sources.names import SOURCES, Source

NAME = "finance.sources"  # in the registry
WEIGHTS, ABOUT = "sources.safetensors", "sources.json"
FORMAT = 1
FARTHEST = 4.0  # standard deviations; an input beyond says no more than one there
SPOKEN = 0.15  # log odds; an input that adds less is no aspect worth telling
ORDER = "order"  # the aspect that stands for all coordinates of a vector

Array = NDArray[np.float64]
_ARRAYS = ("mean", "scale", "weight", "missing")


@dataclass(frozen=True)
class SourceHead:
    """One source's term before its gate.

    Attributes:
        reads: Whose vectors or features it reads: inputs made by another version mean something else.
        names: Of the inputs.
        mean_D, scale_D: Of an input's (signed) logarithm, for numbers; of the coordinate itself, for a vector.
        weight_D: Log odds a standard deviation.
        missing_D: Log odds of an input that is not known, in place of its part.
        bound: Log odds; the term lies within -bound and bound.
    """

    reads: str
    names: tuple[str, ...]
    mean_D: Array
    scale_D: Array
    weight_D: Array
    missing_D: Array
    bias: float
    bound: float

    def parts(self, x_D: Array) -> Array:
        """What each input adds to the raw sum, (D,)."""
        standard_D = standardise(x_D[None], self.names, self.mean_D, self.scale_D)[0]
        return np.where(np.isnan(x_D), self.missing_D, self.weight_D * np.nan_to_num(standard_D))

    def bounded(self, x_D: Array) -> float:
        """The term before its gate, within -bound and bound."""
        raw = self.bias + float(self.parts(x_D).sum())
        return float(self.bound * np.tanh(raw / self.bound))

    def aspects(self, x_D: Array, *, most: int = 2) -> tuple[str, ...]:
        """Names of what raises the risk most, the strongest first; the coordinates of a vector count as one."""
        part_D = self.parts(x_D)
        told = {name: float(p) for name, p in zip(self.names, part_D, strict=True) if not name.startswith(VECTOR)}
        if told and len(told) < len(self.names):
            told[ORDER] = float(part_D.sum()) - sum(told.values())
        raising = sorted((name for name, part in told.items() if part >= SPOKEN), key=lambda name: -told[name])
        return tuple(raising[:most])


@dataclass(frozen=True)
class SourceModel:
    """The heads and the gate.

    Attributes:
        heads: By source; texts have one for each embedder that was trained with.
        gates: (which sources are there, in the order of `SOURCES`) to each source's share of its term, 0 to 1.
        synthetic: Whether the outcomes that it learned from were simulated.
    """

    version: str
    heads: Mapping[Source, tuple[SourceHead, ...]]
    gates: Mapping[tuple[bool, ...], tuple[float, ...]]
    synthetic: bool

    def head(self, source: Source, reads: str) -> SourceHead | None:
        """The head that reads what `reads` made; None: none was trained."""
        return next((head for head in self.heads[source] if head.reads == reads), None)

    def bound(self, source: Source) -> float | None:
        """The largest term of a source, in log odds; None: it was not trained."""
        return max((head.bound for head in self.heads[source]), default=None)

    def terms(self, bounded: Mapping[Source, float]) -> dict[Source, float]:
        """What each source that is there adds to the log odds, by its value before the gate."""
        gate = self.gates[tuple(source in bounded for source in SOURCES)]
        return {source: gate[i] * bounded[source] for i, source in enumerate(SOURCES) if source in bounded}


def standardise(x_ND: Array, names: Sequence[str], mean_D: Array, scale_D: Array) -> Array:
    """Inputs on the heads' scale, (N, D); NaN stays."""
    return np.clip((shrunk(x_ND, names) - mean_D) / scale_D, -FARTHEST, FARTHEST)


def shrunk(x_ND: Array, names: Sequence[str]) -> Array:
    """Numbers by their signed logarithm, coordinates of vectors as they are, (N, D)."""
    is_vector_D = np.array([name.startswith(VECTOR) for name in names])
    return np.where(is_vector_D, x_ND, np.sign(x_ND) * np.log1p(np.abs(x_ND)))


def to_files(model: SourceModel) -> dict[str, bytes]:
    """For the registry; the version is not in them: it follows from them."""
    from safetensors.numpy import save

    arrays: dict[str, Array] = {}
    heads = []
    for source in SOURCES:
        for i, head in enumerate(model.heads[source]):
            arrays |= {f"{source}.{i}.{name}": getattr(head, f"{name}_D") for name in _ARRAYS}
            told = {"source": source, "reads": head.reads, "names": list(head.names)}
            heads.append(told | {"bias": head.bias, "bound": head.bound})
    gates = [{"present": list(present), "gate": list(gate)} for present, gate in model.gates.items()]
    about = {"format": FORMAT, "synthetic": model.synthetic, "heads": heads, "gates": gates}
    return {WEIGHTS: save(arrays), ABOUT: (json.dumps(about, indent=1) + "\n").encode()}


def from_files(version: str, files: Mapping[str, Path]) -> SourceModel:
    """The inverse of `to_files`.

    Raises:
        Unavailable: it was trained on other features than this version's.
    """
    from safetensors.numpy import load

    about: Mapping[str, Any] = json.loads(files[ABOUT].read_bytes())
    arrays = load(files[WEIGHTS].read_bytes())
    heads: dict[Source, list[SourceHead]] = {source: [] for source in SOURCES}
    for told in about["heads"]:
        mine = heads[told["source"]]
        read = {f"{name}_D": arrays[f"{told['source']}.{len(mine)}.{name}"] for name in _ARRAYS}
        mine.append(SourceHead(told["reads"], tuple(told["names"]), **read, bias=told["bias"], bound=told["bound"]))
    spoken: Mapping[Source, tuple[str, ...]] = {"history": VIEW, "text": (), "document": DOCUMENT}
    found = {(s, tuple(n for n in head.names if not n.startswith(VECTOR))) for s in SOURCES for head in heads[s]}
    if about["format"] != FORMAT or not found <= set(spoken.items()):
        raise Unavailable("knows other features than this version", field=NAME, value=version, remedy="Train it again.")
    gates = {tuple(one["present"]): tuple(one["gate"]) for one in about["gates"]}
    return SourceModel(version, {s: tuple(h) for s, h in heads.items()}, gates, about["synthetic"])


def load_sources(registry: ModelRegistry, version: str | None = None) -> SourceModel | None:
    """The active version or the one that is named; None when it is not registered.

    Raises:
        Unavailable: a file is missing, changed, or of other features.
    """
    found = registry.load(NAME, version)
    return None if found is None else from_files(f"{found[0].name}@{found[0].version}", found[1])
