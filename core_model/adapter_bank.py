"""Many adapters over one base model, mixed in one batch (Punica, arXiv:2310.18547; S-LoRA, arXiv:2311.03285).

The base stays as it is, quantized or not: a layer that some adapter wants is wrapped, and adds to its output what each
row's adapter says: a batch of small products, one for each row that decodes or stretch of a prompt.
Without adapters nothing is wrapped. Ignores files and names.
Shapes: T rows of a call, N of them, I inputs, O outputs, R rank, Q rank of all fused layers together, D model dim,
K virtual tokens, S adapters of one kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
        self.rows: tuple[Rows, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """The adapters that it holds."""
        return frozenset(self._prompts)

    def read(self, folder: Path) -> Adapter:
        """An adapter of PEFT's format that fits the decoder, in its precision and on its device; not yet added.

        Raises:
            ValueError: as `read_adapter`.
        """
        if self._decoder.share.size > 1:
            raise ValueError("adapter: not for a model on several devices. Serve it from one.")
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
            self._decoder.adapters, self.rows = None, ()

    def begin(self, segments: Sequence[Segment], x_TD: Tensor) -> None:
        """Before the layers of each call: note whose rows are whose, and put learned prompts into the embeddings."""
        rows, first = list[Rows](), 0
        for segment in segments:
            prompt_KD = None if segment.adapter is None else self._prompts[segment.adapter]
            if prompt_KD is not None:
                virtual_KD = prompt_KD[segment.start : segment.start + segment.num_tokens]
                x_TD[first : first + len(virtual_KD)] = virtual_KD
            elif segment.adapter is not None:
                size = 1 if segment.context else segment.num_tokens
                rows += [Rows(first + i, size, segment.adapter) for i in range(0, segment.num_tokens, size)]
            first += segment.num_tokens
        self.rows = tuple(rows)


class Rows(NamedTuple):
    """`size` rows of one call, from `first` on, that are multiplied together: a segment, or a token kept apart."""

    first: int
    size: int
    adapter: str


_Kind = tuple[int, tuple[int, ...]]  # rank, and which of the fused layers it adapts


class AdaptedLinear:
    """A layer of the base, or several fused ones, and what adapters add: y = base(x) + x down^T up, row by row.

    Args:
        bank: Says whose rows are whose.
        outputs: Of each fused layer.
    """

    def __init__(self, base: Linear, bank: AdapterBank, *, outputs: Sequence[int]) -> None:
        self.base, self._bank, self._outputs = base, bank, list(outputs)
        self._firsts = [sum(outputs[:i]) for i in range(len(outputs))]
        self._shelves: dict[_Kind, _Shelf] = {}  # so that other adapters do not change a product's shape
        self._planned: tuple[tuple[Rows, ...], list[_Run]] = ((), [])

    @property
    def adapters(self) -> frozenset[str]:
        """The adapters that add something here."""
        return frozenset(name for shelf in self._shelves.values() for name in shelf.ids)

    def __call__(self, x_TI: Tensor) -> Tensor:
        y_TO = self.base(x_TI)
        for run in self._runs(self._bank.rows):
            x_SNI = x_TI.narrow(0, run.first, run.num_rows).view(run.num_items, -1, x_TI.shape[1])
            y_SNO = y_TO.narrow(0, run.first, run.num_rows).view(run.num_items, -1, y_TO.shape[1])
            hidden_SNQ = torch.bmm(x_SNI, run.down_SIQ)
            if len(self._outputs) == 1:
                y_SNO.baddbmm_(hidden_SNQ, run.ups_SRO[0])
                continue
            hidden = hidden_SNQ.chunk(len(run.layers), -1)
            for layer, hidden_SNR, up_SRO in zip(run.layers, hidden, run.ups_SRO, strict=True):
                part_SNO = y_SNO.narrow(-1, self._firsts[layer], self._outputs[layer])
                part_SNO.add_(torch.bmm(hidden_SNR, up_SRO))
        return y_TO

    def add(self, adapter_id: str, parts: Mapping[int, LowRank]) -> None:
        """Take in an adapter: its matrices by the position of the fused layer, smaller ranks filled up with zeros."""
        rank, layers = max(low.rank for low in parts.values()), tuple(sorted(parts))
        filled = [_filled(parts[layer], rank) for layer in layers]
        down_1QI = torch.cat([low.down_RI for low in filled]).unsqueeze(0)
        new = _Shelf((adapter_id,), down_1QI, [low.up_RO.unsqueeze(0) for low in filled])
        old = self._shelves.get((rank, layers))
        self._set_up((rank, layers), [*(old.parts() if old else ()), new])

    def drop(self, adapter_id: str) -> None:
        """Forget an adapter."""
        for kind, shelf in self._shelves.items():
            if adapter_id in shelf.ids:
                self._set_up(kind, [part for part in shelf.parts() if part.ids != (adapter_id,)])

    def _set_up(self, kind: _Kind, parts: Sequence[_Shelf]) -> None:
        """One shelf anew, in order, from parts of one adapter; a call that runs meanwhile goes on with the old one."""
        shelves, parts = {**self._shelves}, sorted(parts, key=lambda part: part.ids)
        shelves.pop(kind, None)
        if parts:
            shelves[kind] = _Shelf(
                tuple(part.ids[0] for part in parts),
                torch.cat([part.down_SQI for part in parts]),
                [torch.cat(ups) for ups in zip(*(part.ups_SRO for part in parts), strict=True)],
            )
        self._shelves, self._planned = shelves, ((), [])

    def _runs(self, rows: tuple[Rows, ...]) -> list[_Run]:
        """Answers go on in the same company, so the last plan is kept."""
        known, runs = self._planned
        if known != rows:
            runs = list(_plan(rows, self._shelves))
            self._planned = rows, runs
        return runs


@dataclass(frozen=True)
class _Shelf:
    """Adapters' matrices one after another, in the order of their ids.

    Attributes:
        down_SQI: To the ranks of all layers of its kind, one after another.
        ups_SRO: Up from there, for each of these layers.
    """

    ids: tuple[str, ...]
    down_SQI: Tensor
    ups_SRO: Sequence[Tensor]

    def parts(self) -> list[_Shelf]:
        """One for each adapter."""
        return [self.part(i, 1) for i in range(len(self.ids))]

    def part(self, first: int, num: int) -> _Shelf:
        """`num` of them, not copied."""
        here = slice(first, first + num)
        return _Shelf(self.ids[here], self.down_SQI[here], [up_SRO[here] for up_SRO in self.ups_SRO])


class _Run(NamedTuple):
    """Rows side by side, as many for each of `num_items` matrices."""

    first: int
    num_rows: int
    num_items: int
    layers: tuple[int, ...]
    down_SIQ: Tensor
    ups_SRO: Sequence[Tensor]


def _filled(low: LowRank, rank: int) -> LowRank:
    missing = rank - low.rank
    return LowRank(F.pad(low.down_RI, (0, 0, 0, missing)), F.pad(low.up_RO, (0, 0, 0, missing)))


def _plan(rows: Sequence[Rows], shelves: Mapping[_Kind, _Shelf]) -> Iterator[_Run]:
    """Runs of rows whose adapters are neighbours, or one: their matrices are used where they are, none is copied.

    The runner sorts rows by adapter, as shelves do.
    """
    places = {name: (kind, i) for kind, shelf in shelves.items() for i, name in enumerate(shelf.ids)}
    left = [(first, size, *places[name]) for first, size, name in rows if name in places]
    while left:
        first, size, kind, slot = left[0]
        one, neighbours = (
            next((i for i, at in enumerate(left) if at != (first + i * size, size, kind, slot + i * step)), len(left))
            for step in (0, 1)
        )
        num = max(one, neighbours)
        part = shelves[kind].part(slot, neighbours)  # one adapter's is repeated, but not copied
        down, *ups = (tensor.expand(num, -1, -1) for tensor in (part.down_SQI, *part.ups_SRO))
        yield _Run(first, num * size, num, kind[1], down.transpose(1, 2), ups)
        left = left[num:]


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
            if not layer.adapters:
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
