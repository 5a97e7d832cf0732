"""Many adapters over one base model, mixed in one batch (Punica, arXiv:2310.18547; S-LoRA, arXiv:2311.03285).

The base stays as it is, quantized or not: a layer that some adapter wants is wrapped, and adds to its output what each
row's adapter says. A row that decodes is one of many small products, done at once; a stretch of a prompt has its own.
Without adapters nothing is wrapped. Ignores files and names.
Shapes: T rows of a call, N rows with one new token each, I inputs, O outputs, P fused layers, R rank, D model dim,
W outputs of a block, X blocks of all N rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.adapters import Adapter, LowRank, read_adapter
from core_model.attention import LatentAttention, Segment
from core_model.model import Decoder
from core_model.moe import MLP, MoE
from core_model.quantize import Linear


class AdapterBank:
    """The adapters of a decoder, by id. `add` and `remove` may run while the decoder does, as long as nobody asks for
    the adapter in question; not beside each other.

    Args:
        max_adapters: More are refused.
        max_rank: Of LoRA adapters; larger ones are refused.
    """

    def __init__(self, decoder: Decoder, *, max_adapters: int = 32, max_rank: int = 64) -> None:
        self._decoder, self.max_adapters, self.max_rank = decoder, max_adapters, max_rank
        self._sites = list(_sites(decoder))
        self._prompts: dict[str, Tensor | None] = {}
        self.rows = _NO_ROWS

    @property
    def ids(self) -> frozenset[str]:
        """The adapters that it holds."""
        return frozenset(self._prompts)

    def read(self, folder: Path) -> Adapter:
        """An adapter of PEFT's format that fits the decoder, in its precision and on its device; not yet added.

        Raises:
            ValueError: as `read_adapter`.
        """
        sizes = {f"{site.prefix}.{name}": (site.inputs, size) for site in self._sites for name, size in site.parts}
        hidden_size = self._decoder.config.hidden_size
        adapter = read_adapter(folder, sizes, hidden_size=hidden_size, max_rank=self.max_rank)

        def ours(tensor: Tensor) -> Tensor:
            return tensor.to(self._decoder.device, self._decoder.dtype)

        layers = {name: LowRank(ours(low.down_RI), ours(low.up_RO)) for name, low in adapter.layers.items()}
        return Adapter(adapter.id, layers, None if adapter.prompt_KD is None else ours(adapter.prompt_KD))

    def add(self, adapter: Adapter) -> None:
        """Make an adapter usable; one that is here already stays.

        Raises:
            ValueError: there are `max_adapters` already.
        """
        if adapter.id in self._prompts:
            return
        if len(self._prompts) >= self.max_adapters:
            raise ValueError(f"adapters: at most {self.max_adapters}. Unload one, or raise max_adapters.")
        for site in self._sites:
            names = [f"{site.prefix}.{name}" for name, _ in site.parts]
            parts = {i: adapter.layers[name] for i, name in enumerate(names) if name in adapter.layers}
            if parts:
                site.wrap(self).add(adapter.id, parts)
        self._prompts[adapter.id] = adapter.prompt_KD
        self._decoder.adapters = self

    def remove(self, adapter_id: str) -> None:
        """Let go of an adapter's memory."""
        del self._prompts[adapter_id]
        for site in self._sites:
            site.drop(adapter_id)
        if not self._prompts:
            self._decoder.adapters, self.rows = None, _NO_ROWS

    def begin(self, segments: Sequence[Segment], x_TD: Tensor) -> None:
        """Before the layers of each call: note whose rows are whose, and put learned prompts into the embeddings."""
        singles, ids, spans, first = list[int](), list[str](), list[tuple[str, int, int]](), 0
        for segment in segments:
            end = first + segment.num_tokens
            prompt_KD = None if segment.adapter is None else self._prompts[segment.adapter]
            if prompt_KD is not None:
                virtual_KD = prompt_KD[segment.start : segment.start + segment.num_tokens]
                x_TD[first : first + len(virtual_KD)] = virtual_KD
            elif segment.adapter is not None and segment.num_tokens == 1:
                singles.append(first)
                ids.append(segment.adapter)
            elif segment.adapter is not None:
                spans.append((segment.adapter, first, end))
            first = end
        self.rows = Rows(_compact(singles, x_TD.device), tuple(ids), tuple(spans)) if singles or spans else _NO_ROWS


@dataclass(frozen=True)
class Rows:
    """Whose rows are whose in one call; rows of no adapter are in none of these.

    Attributes:
        singles: Rows that are all of their segment, and `single_ids` their adapters.
        spans: (adapter, first row, end row) of each longer segment.
    """

    singles: slice | Tensor
    single_ids: tuple[str, ...]
    spans: tuple[tuple[str, int, int], ...]


_MAX_PACKED = 8  # companies of rows: a step may run in several calls
_NO_ROWS = Rows(slice(0, 0), (), ())


class AdaptedLinear:
    """A layer of the base, or several fused ones, and what adapters add: y = base(x) + x down^T up, row by row.

    Args:
        bank: Says whose rows are whose.
        outputs: Of each fused layer.
    """

    def __init__(self, base: Linear, bank: AdapterBank, *, outputs: Sequence[int]) -> None:
        self.base, self._bank, self._outputs = base, bank, outputs
        self._firsts = [sum(outputs[:i]) for i in range(len(outputs))]
        width = gcd(*outputs)  # products of one size run at once, so outputs are cut into blocks of one width
        self._num_blocks = [size // width for size in outputs]
        self._layer_of_block = [i for i, num in enumerate(self._num_blocks) for _ in range(num)]
        self.deltas: dict[str, _Delta] = {}
        self._packed: dict[tuple[str, ...], _Packed] = {}

    def __call__(self, x_TI: Tensor) -> Tensor:
        y_TO, rows = self.base(x_TI), self._bank.rows
        if rows.single_ids:
            self._add_singles_(y_TO, x_TI, rows)
        for adapter_id, first, end in rows.spans:
            if delta := self.deltas.get(adapter_id):
                self._add_span_(y_TO[first:end], x_TI[first:end], delta)
        return y_TO

    def add(self, adapter_id: str, parts: Mapping[int, LowRank]) -> None:
        """Take in an adapter: its matrices by the position of the fused layer, smaller ranks filled up with zeros."""
        like, rank = next(iter(parts.values())).down_RI, max(low.rank for low in parts.values())
        down_PRI = like.new_zeros(len(self._outputs), rank, like.shape[1])
        up_XRW = like.new_zeros(len(self._layer_of_block), rank, sum(self._outputs) // len(self._layer_of_block))
        for i, low in parts.items():
            first, num = sum(self._num_blocks[:i]), self._num_blocks[i]
            down_PRI[i, : low.rank] = low.down_RI
            up_XRW[first : first + num, : low.rank] = low.up_RO.view(low.rank, num, -1).transpose(0, 1)
        self.deltas[adapter_id] = _Delta(down_PRI, up_XRW)
        self._packed = {}

    def drop(self, adapter_id: str) -> None:
        """Forget an adapter."""
        self.deltas.pop(adapter_id, None)
        self._packed = {}

    def _add_span_(self, y_NO: Tensor, x_NI: Tensor, delta: _Delta) -> None:
        hidden_NPR = (x_NI @ delta.down_PRI.flatten(0, 1).t()).view(len(x_NI), len(self._outputs), -1)
        for block, layer in enumerate(self._layer_of_block):
            width = delta.up_XRW.shape[2]
            y_NO.narrow(1, block * width, width).addmm_(hidden_NPR[:, layer], delta.up_XRW[block])

    def _add_singles_(self, y_TO: Tensor, x_TI: Tensor, rows: Rows) -> None:
        packed = self._packed.get(rows.single_ids)
        if packed is None:
            # Answers go on for many steps in the same company, so that packing is rare and worth its price.
            if len(self._packed) == _MAX_PACKED:
                self._packed.clear()
            packed = self._packed.setdefault(rows.single_ids, self._pack(rows.single_ids))
        if packed.down_NRI is None or packed.up_XRW is None:
            return
        up_XRW = packed.up_XRW
        hidden_N1R = torch.bmm(x_TI[rows.singles].unsqueeze(1), packed.down_NRI.transpose(1, 2))
        hidden_NPR = hidden_N1R.view(len(hidden_N1R), len(self._outputs), -1)
        if packed.layer_of_block is not None:
            hidden_NPR = hidden_NPR.index_select(1, packed.layer_of_block)
        hidden_X1R = hidden_NPR.view(len(up_XRW), 1, -1)
        y_NO = y_TO[rows.singles]
        y_NO.view(len(up_XRW), 1, -1).baddbmm_(hidden_X1R, up_XRW)
        if not isinstance(rows.singles, slice):  # else `y_NO` was a view
            y_TO[rows.singles] = y_NO

    def _pack(self, ids: tuple[str, ...]) -> _Packed:
        """The rows' matrices one after another; of an adapter that leaves this layer alone, zeros."""
        kept = ids[:1] if len(set(ids)) == 1 else ids  # the same for all is read once
        deltas = [self.deltas.get(name) for name in kept]
        present = [delta for delta in deltas if delta is not None]
        if not present:
            return _Packed()
        rank = max(delta.rank for delta in present)
        nothing = present[0].zeros()
        padded = [(delta or nothing).padded(rank) for delta in deltas]
        down = torch.stack([delta.down_PRI for delta in padded]).flatten(1, 2).expand(len(ids), -1, -1)
        up = torch.stack([delta.up_XRW for delta in padded]).expand(len(ids), -1, -1, -1)
        is_plain = len(self._layer_of_block) == len(self._outputs)
        layer_of_block = None if is_plain else torch.tensor(self._layer_of_block, device=down.device)
        return _Packed(down, up.flatten(0, 1), layer_of_block)


@dataclass(frozen=True)
class _Delta:
    """One adapter's part in a layer: for each fused layer P down to rank R, and up from it to each block of outputs."""

    down_PRI: Tensor
    up_XRW: Tensor

    @property
    def rank(self) -> int:
        return self.up_XRW.shape[1]

    def zeros(self) -> _Delta:
        return _Delta(torch.zeros_like(self.down_PRI), torch.zeros_like(self.up_XRW))

    def padded(self, rank: int) -> _Delta:
        missing = rank - self.rank
        if not missing:
            return self
        return _Delta(F.pad(self.down_PRI, (0, 0, 0, missing)), F.pad(self.up_XRW, (0, 0, 0, missing)))


@dataclass(frozen=True)
class _Packed:
    down_NRI: Tensor | None = None  # R: of all fused layers
    up_XRW: Tensor | None = None
    layer_of_block: Tensor | None = None  # None: each fused layer is a block


@dataclass(frozen=True)
class _Site:
    """A layer of the decoder that can be adapted: attribute `attribute` of `owner`.

    Attributes:
        parts: Name and outputs of each layer that is fused in it.
    """

    owner: object
    attribute: str
    prefix: str
    inputs: int
    parts: tuple[tuple[str, int], ...]

    def wrap(self, bank: AdapterBank) -> AdaptedLinear:
        layer = getattr(self.owner, self.attribute)
        if not isinstance(layer, AdaptedLinear):
            layer = AdaptedLinear(layer, bank, outputs=[size for _, size in self.parts])
            setattr(self.owner, self.attribute, layer)
        return layer

    def drop(self, adapter_id: str) -> None:
        layer = getattr(self.owner, self.attribute)
        if isinstance(layer, AdaptedLinear):
            layer.drop(adapter_id)
            if not layer.deltas:
                setattr(self.owner, self.attribute, layer.base)


def _sites(decoder: Decoder) -> Iterator[_Site]:
    """All of attention but the latents' expansion, which may be absorbed; and all feed-forwards but routed experts."""
    config = decoder.config
    dim, heads = config.hidden_size, config.num_attention_heads
    for i, layer in enumerate(decoder.layers):
        prefix, attention = f"model.layers.{i}", layer.self_attn
        attn = f"{prefix}.self_attn"
        if isinstance(attention, LatentAttention):
            queries, compressed = heads * config.head_dim, config.q_lora_rank
            kv = config.kv_lora_rank + config.qk_rope_head_dim
            if compressed:
                yield _Site(attention, "q_a_proj", attn, dim, (("q_a_proj", compressed),))
                yield _Site(attention, "q_proj", attn, compressed, (("q_b_proj", queries),))
            else:
                yield _Site(attention, "q_proj", attn, dim, (("q_proj", queries),))
            yield _Site(attention, "kv_a_proj", attn, dim, (("kv_a_proj_with_mqa", kv),))
            yield _Site(attention, "o_proj", attn, heads * config.v_head_dim, (("o_proj", dim),))
        else:
            queries, keys = heads * config.head_dim, config.num_key_value_heads * config.head_dim
            parts = ("q_proj", queries), ("k_proj", keys), ("v_proj", keys)
            yield _Site(attention, "qkv_proj", attn, dim, parts)
            yield _Site(attention, "o_proj", attn, queries, (("o_proj", dim),))
        if isinstance(layer.mlp, MLP):
            yield from _mlp_sites(layer.mlp, f"{prefix}.mlp", dim=dim, hidden=config.intermediate_size)
        elif isinstance(layer.mlp, MoE) and layer.mlp.shared_experts is not None:
            hidden = config.moe_intermediate_size * config.n_shared_experts
            yield from _mlp_sites(layer.mlp.shared_experts, f"{prefix}.mlp.shared_experts", dim=dim, hidden=hidden)


def _mlp_sites(mlp: MLP, prefix: str, *, dim: int, hidden: int) -> Iterator[_Site]:
    yield _Site(mlp, "gate_up_proj", prefix, dim, (("gate_proj", hidden), ("up_proj", hidden)))
    yield _Site(mlp, "down_proj", prefix, hidden, (("down_proj", dim),))


def _compact(rows: list[int], device: torch.device) -> slice | Tensor:
    """A slice if the rows lie side by side: then nothing need be copied."""
    if not rows or rows[-1] - rows[0] == len(rows) - 1:
        return slice(rows[0], rows[-1] + 1) if rows else slice(0, 0)
    return torch.tensor(rows, device=device)
