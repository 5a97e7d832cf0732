"""A GGUF file as a checkpoint: config.json's keys, and weights by upstream name, read when asked for. No transformers.

llama.cpp renames tensors, stacks a layer's experts, splits what latent attention shares, and for the architecture
"llama" interleaves the rows of queries and keys; all of it is undone here, one tensor at a time.
Shapes: E experts, F expert dim, D model dim, H heads, L latent dim, Q key dims, V value dims.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from core_model.config import ModelConfig, parse_config
from core_model.formats.gguf_blocks import decode_tensor
from core_model.formats.gguf_config import config_from_gguf
from core_model.formats.gguf_header import StoredTensor, read_header
from core_model.formats.layers import Shape
from core_model.layout import expected_tensors
from core_model.quantized_weight import QuantizedWeight, Weight


class GGUFFile:
    """An opened file: `metadata` by key; nothing of its tensors is read.

    Raises:
        ValueError: not a GGUF file, damaged, or of an architecture that is not read.
    """

    def __init__(self, path: Path) -> None:
        header = read_header(path)
        self.metadata: Mapping[str, Any] = header.metadata
        self._path, self._tensors, self._config = path, header.tensors, config_from_gguf(header)

    def config(self) -> dict[str, Any]:
        """The keys of config.json."""
        return dict(self._config)

    def weights(self) -> GGUFWeights:
        """Weights by upstream name.

        Raises:
            ValueError: the file says a model that this decoder does not run.
        """
        architecture = str(self.metadata["general.architecture"])
        return GGUFWeights(self._path, self._tensors, parse_config(self._config), architecture=architecture)


@dataclass(frozen=True)
class _Source:
    """Which stored tensors make up a weight, of which expert (None: all of it), and how."""

    stored: tuple[str, ...]
    build: Callable[..., Weight]
    expert: int | None = None


class GGUFWeights(Mapping[str, Weight]):
    """Weights by upstream name; stored tensors that no weight needs keep names of their own."""

    def __init__(
        self, path: Path, tensors: Mapping[str, StoredTensor], config: ModelConfig, *, architecture: str
    ) -> None:
        self._path, self._tensors = path, tensors
        names = _Names(config, tensors, architecture=architecture)
        found = {name: names.source(name) for name in expected_tensors(config)}
        self._sources = {n: source for n, source in found.items() if all(s in tensors for s in source.stored)}
        used = {stored for source in self._sources.values() for stored in source.stored}
        # Some files keep what latent attention shares whole and split.
        used |= {re.sub("kv_b", part, stored) for stored in used if "attn_kv_b." in stored for part in ("k_b", "v_b")}
        for name in tensors.keys() - used:
            self._sources[re.sub(r"^blk\.", "model.layers.", name)] = _Source((name,), _as_is)

    def shape(self, name: str) -> Shape:
        """Of one weight, without reading it."""
        source = self._sources[name]
        shapes = [self._tensors[stored].shape for stored in source.stored]
        empty = [torch.empty(s if source.expert is None else s[1:], device="meta") for s in shapes]
        return tuple(source.build(*empty).shape)

    def __getitem__(self, name: str) -> Weight:
        source = self._sources[name]
        return source.build(*(self._read(stored, source.expert) for stored in source.stored))

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def _read(self, name: str, expert: int | None) -> Weight:
        stored = self._tensors[name]
        begin, size, shape = stored.begin, stored.size, stored.shape
        if expert is not None:
            size //= shape[0]
            begin, shape = begin + expert * size, shape[1:]
        raw = np.fromfile(self._path, dtype=np.uint8, count=size, offset=begin)
        if len(raw) != size:
            raise ValueError(f"{self._path.name}: tensor {name} cannot be read. Download the file again.")
        return decode_tensor(torch.from_numpy(raw), stored.kind, shape)


class _Names:
    """Upstream names to stored ones, by gguf's own table."""

    def __init__(self, config: ModelConfig, tensors: Mapping[str, StoredTensor], *, architecture: str) -> None:
        arch = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[architecture]
        self._table = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
        self._config, self._tensors, self._interleaved = config, tensors, architecture == "llama"

    def source(self, name: str) -> _Source:
        """Where a weight comes from; its stored names may be missing from the file."""
        if match := re.fullmatch(r"(.+\.experts)\.(\d+)\.(\w+)\.weight", name):
            return _Source((self._stored(f"{match[1]}.{match[3]}.weight"),), _as_is, expert=int(match[2]))
        if match := re.fullmatch(r"(.+\.experts\.)(gate_up|down)_proj(_bias)?", name):
            return self._stacked(match[1], both=match[2] == "gate_up", end=".bias" if match[3] else ".weight")
        if name.endswith("kv_b_proj.weight") and self._stored(name) not in self._tensors:
            halves = (self._stored(name.replace("kv_b_proj", part)) for part in ("k_b_proj", "v_b_proj"))
            return _Source(tuple(halves), _join_latent)
        if name.endswith("e_score_correction_bias"):
            return _Source((self._stored(name.removesuffix("_bias") + ".bias"),), _as_is)
        if name.endswith(".sinks"):
            return _Source((self._stored(name + ".weight"),), _as_is)
        if self._interleaved and (match := re.search(r"\.([qk])_proj\.", name)):
            config = self._config
            heads = config.num_attention_heads if match[1] == "q" else config.num_key_value_heads
            return _Source((self._stored(name),), lambda weight: _split_halves(weight, heads))
        return _Source((self._stored(name),), _as_is)

    def _stacked(self, prefix: str, *, both: bool, end: str) -> _Source:
        parts = ("gate_proj", "up_proj") if both else ("down_proj",)
        return _Source(tuple(self._stored(f"{prefix}{part}{end}") for part in parts), _stack)

    def _stored(self, name: str) -> str:
        return self._table.get_name(name, try_suffixes=(".weight", ".bias")) or f"(none for {name})"


def _as_is(weight: Weight) -> Weight:
    return weight


def _stack(*parts: Tensor) -> Tensor:
    """Each (E, F, D) or (E, F), taking turns along F; as upstream, (E, D, F) or (E, F)."""
    joined = torch.stack(parts, dim=2).flatten(1, 2)
    return joined.transpose(1, 2) if joined.ndim == 3 else joined


def _join_latent(k_HLQ: Tensor, v_HVL: Tensor) -> Tensor:
    return torch.cat((k_HLQ.transpose(1, 2), v_HVL), dim=1).flatten(0, 1)


def _split_halves(weight: Weight, num_heads: int) -> Weight:
    """Rows of (heads, R/2, 2) back to (heads, 2, R/2): the inverse of llama.cpp's `permute`."""
    rows = torch.arange(weight.shape[0]).view(num_heads, -1, 2).transpose(1, 2).flatten()
    if isinstance(weight, QuantizedWeight):
        codes_OI, scale_OG, offset_OG = weight.codes_OI[rows], weight.scale_OG[rows], weight.offset_OG[rows]
        return replace(weight, codes_OI=codes_OI, scale_OG=scale_OG, offset_OG=offset_OG)
    return weight[rows.to(weight.device)]
