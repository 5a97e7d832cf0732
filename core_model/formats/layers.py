"""Checkpoints whose weights lie in several tensors each (codes, scales, zero points), read as one weight by its name.

A `LayerFormat` says which stored names make up a weight and how they decode. Weights decode when asked for, one at a
time. Ignores which formats a config.json announces (`quantization_config.py`), and what computes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from core_model.quantized_weight import Weight

Shape = tuple[int, ...]


class LayerFormat(Protocol):
    """How one kind of stored weight is spelt.

    Attributes:
        marker: End of the stored name that announces such a weight.
        upstream: What stands in its place in the weight's own name.
        required: Ends of the further names without which it is none.
        optional: Ends of names that may belong to it.
    """

    @property
    def marker(self) -> str: ...
    @property
    def upstream(self) -> str: ...
    @property
    def required(self) -> tuple[str, ...]: ...
    @property
    def optional(self) -> tuple[str, ...]: ...

    def decode(self, parts: Mapping[str, Tensor]) -> Weight:
        """The weight from its stored tensors, by the end of their names. ValueError if they do not fit together."""
        ...

    def shape(self, shapes: Mapping[str, Shape], read: Callable[[str], Tensor]) -> Shape:
        """The weight's shape from those of its stored tensors; `read` gives one of these, where it takes that."""
        ...


class StoredLayers(Mapping[str, Weight]):
    """Weights by upstream names, decoded when asked for; what no format claims passes through as it is.

    Args:
        tensors: As stored; may be lazy.
        formats: Tried in turn for each stored name.
    """

    def __init__(self, tensors: Mapping[str, Tensor], formats: Sequence[LayerFormat]) -> None:
        self._tensors = tensors
        self._layers: dict[str, tuple[LayerFormat, dict[str, str]]] = {}
        claimed: set[str] = set()
        for stored_name in tensors:
            for layer_format in formats:
                stem = stored_name.removesuffix(layer_format.marker)
                ends = (layer_format.marker, *layer_format.required)
                if stored_name.endswith(layer_format.marker) and all(stem + end in tensors for end in ends):
                    parts = {end: stem + end for end in (*ends, *layer_format.optional) if stem + end in tensors}
                    self._layers[stem + layer_format.upstream] = layer_format, parts
                    claimed.update(parts.values())
                    break
        self._plain = [name for name in tensors if name not in claimed]

    def shape(self, name: str) -> Shape:
        """Of one weight, without decoding it."""
        if name not in self._layers:
            return shape_of(self._tensors, name)
        layer_format, parts = self._layers[name]
        shapes = {end: shape_of(self._tensors, where) for end, where in parts.items()}
        return layer_format.shape(shapes, lambda end: self._tensors[parts[end]])

    def __getitem__(self, name: str) -> Weight:
        if name not in self._layers:
            return self._tensors[name]
        layer_format, parts = self._layers[name]
        try:
            return layer_format.decode({end: self._tensors[where] for end, where in parts.items()})
        except (ValueError, RuntimeError, IndexError, AssertionError) as error:
            raise ValueError(
                f"tensor {name}: {', '.join(parts.values())} do not fit together ({error}). "
                "Download or convert the model again."
            ) from error

    def __iter__(self) -> Iterator[str]:
        yield from self._layers
        yield from self._plain

    def __len__(self) -> int:
        return len(self._layers) + len(self._plain)


def shape_of(tensors: Mapping[str, Weight], name: str) -> Shape:
    """A weight's shape, without reading it where the mapping knows."""
    known: Callable[[str], Shape] | None = getattr(tensors, "shape", None)
    return known(name) if known else tuple(tensors[name].shape)
