"""Many adapters over one base model, mixed in one batch (Punica, arXiv:2310.18547; S-LoRA, arXiv:2311.03285).

The base stays as it is, quantized or not: a layer that some adapter wants is wrapped, and adds to its output what each
row's adapter says. A row that decodes is one of many small products, done at once; a stretch of a prompt has its own.
Without adapters nothing is wrapped. Ignores files and names.
Shapes: T rows of a call, N of them, I inputs, O outputs, R rank, Q rank of all fused layers together, D model dim,
K virtual tokens, S adapters of one rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
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
        self.rows = Rows()

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
            self._decoder.adapters, self.rows = None, Rows()

    def begin(self, segments: Sequence[Segment], x_TD: Tensor) -> None:
        """Before the layers of each call: note whose rows are whose, and put learned prompts into the embeddings."""
        singles, spans, first = list[tuple[int, str]](), list[tuple[str, int, int]](), 0
        for segment in segments:
            end = first + segment.num_tokens
            prompt_KD = None if segment.adapter is None else self._prompts[segment.adapter]
            if prompt_KD is not None:
                virtual_KD = prompt_KD[segment.start : segment.start + segment.num_tokens]
                x_TD[first : first + len(virtual_KD)] = virtual_KD
            elif segment.adapter is not None and (segment.num_tokens == 1 or segment.context):
                singles += [(row, segment.adapter) for row in range(first, end)]
            elif segment.adapter is not None:
                spans.append((segment.adapter, first, end))
            first = end
        self.rows = Rows(tuple(singles), tuple(spans))


@dataclass(frozen=True)
class Rows:
    """Whose rows are whose in one call; rows of no adapter are in none of these.

    Attributes:
        singles: (row, adapter) of each token that comes alone, or as if alone.
        spans: (adapter, first row, end row) of each other segment.
    """

    singles: tuple[tuple[int, str], ...] = ()
    spans: tuple[tuple[str, int, int], ...] = ()


class AdaptedLinear:
    """A layer of the base, or several fused ones, and what adapters add: y = base(x) + x down^T up, row by row.

    Args:
        bank: Says whose rows are whose.
        outputs: Of each fused layer.
    """

    def __init__(self, base: Linear, bank: AdapterBank, *, outputs: Sequence[int]) -> None:
        self.base, self._bank, self._outputs = base, bank, outputs
        self._shelves: dict[int, _Shelf] = {}  # by rank, so that others' ranks do not change a product's shape
        self._planned: tuple[tuple[tuple[int, str], ...], list[tuple[slice, _Shelf]]] = ((), [])

    @property
    def adapters(self) -> frozenset[str]:
        """The adapters that add something here."""
        return frozenset(name for shelf in self._shelves.values() for name in shelf.ids)

    def __call__(self, x_TI: Tensor) -> Tensor:
        y_TO, rows = self.base(x_TI), self._bank.rows
        for part, shelf in self._runs(rows.singles):
            hidden_N1Q = torch.bmm(x_TI[part].unsqueeze(1), shelf.down_SQI.transpose(1, 2))
            for y_NO, hidden_N1R, up_NRO in self._by_output(y_TO[part], hidden_N1Q, shelf):
                y_NO.add_(torch.bmm(hidden_N1R, up_NRO).squeeze(1))
        for adapter_id, first, end in rows.spans:
            if only := self._only(adapter_id):
                hidden_NQ = x_TI[first:end] @ only.down_SQI[0].t()
                for y_NO, hidden_NR, up_1RO in self._by_output(y_TO[first:end], hidden_NQ, only):
                    y_NO.addmm_(hidden_NR, up_1RO[0])
        return y_TO

    def add(self, adapter_id: str, parts: Mapping[int, LowRank]) -> None:
        """Take in an adapter: its matrices by the position of the fused layer, smaller ranks filled up with zeros."""
        like, rank = next(iter(parts.values())).down_RI, max(low.rank for low in parts.values())
        down_1QI = like.new_zeros(1, len(self._outputs) * rank, like.shape[1])
        ups_1RO = [like.new_zeros(1, rank, size) for size in self._outputs]
        for i, low in parts.items():
            down_1QI[0, i * rank : i * rank + low.rank] = low.down_RI
            ups_1RO[i][0, : low.rank] = low.up_RO
        self._put(rank, [_Shelf((adapter_id,), down_1QI, ups_1RO)])

    def drop(self, adapter_id: str) -> None:
        """Forget an adapter."""
        for rank, shelf in self._shelves.items():
            if adapter_id in shelf.ids:
                self._put(rank, [], without=adapter_id)

    def _put(self, rank: int, more: Sequence[_Shelf], *, without: str | None = None) -> None:
        """Set up one rank's shelf anew: a call that runs meanwhile goes on with the old one."""
        old = self._shelves.get(rank)
        kept = [old.part(i, 1) for i, name in enumerate(old.ids) if name != without] if old else []
        shelves = {**self._shelves}
        shelves.pop(rank, None)
        if all_parts := sorted([*kept, *more], key=lambda part: part.ids):
            shelves[rank] = _Shelf(
                tuple(part.ids[0] for part in all_parts),
                torch.cat([part.down_SQI for part in all_parts]),
                [torch.cat(ups) for ups in zip(*(part.ups_SRO for part in all_parts), strict=True)],
            )
        self._shelves, self._planned = shelves, ((), [])

    def _only(self, adapter_id: str) -> _Shelf | None:
        shelves = (shelf for shelf in self._shelves.values() if adapter_id in shelf.ids)
        return next((shelf.part(shelf.ids.index(adapter_id), 1) for shelf in shelves), None)

    def _by_output(self, y_NO: Tensor, hidden: Tensor, shelf: _Shelf) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """For each fused layer its outputs, its part of `hidden` (.., Q), and the way up."""
        outputs = torch.split(y_NO, list(self._outputs), -1)
        yield from zip(outputs, hidden.chunk(len(outputs), -1), shelf.ups_SRO, strict=True)

    def _runs(self, singles: tuple[tuple[int, str], ...]) -> list[tuple[slice, _Shelf]]:
        """Rows side by side whose adapters are so too, or are one: their matrices are where they are, none is copied.

        The runner sorts rows by adapter. Answers go on in the same company, so the last plan is kept.
        """
        known, runs = self._planned
        if known != singles:
            runs = list(_plan(singles, list(self._shelves.values())))
            self._planned = singles, runs
        return runs


@dataclass(frozen=True)
class _Shelf:
    """Adapters' matrices one after another, in the order of their ids.

    Attributes:
        down_SQI: To all fused layers' ranks, Q = P * R.
        ups_SRO: Up from there, for each fused layer.
    """

    ids: tuple[str, ...]
    down_SQI: Tensor
    ups_SRO: Sequence[Tensor]

    def part(self, first: int, num: int) -> _Shelf:
        """`num` of them, not copied."""
        here = slice(first, first + num)
        return _Shelf(self.ids[here], self.down_SQI[here], [up_SRO[here] for up_SRO in self.ups_SRO])

    def repeated(self, num: int) -> _Shelf:
        """The only one, for `num` rows, not copied."""
        ups = [up_1RO.expand(num, -1, -1) for up_1RO in self.ups_SRO]
        return _Shelf(self.ids * num, self.down_SQI.expand(num, -1, -1), ups)


def _plan(singles: Sequence[tuple[int, str]], shelves: Sequence[_Shelf]) -> Iterator[tuple[slice, _Shelf]]:
    places = {name: (number, i) for number, shelf in enumerate(shelves) for i, name in enumerate(shelf.ids)}
    left = [(row, *places[name]) for row, name in singles if name in places]
    while left:
        row, number, slot = left[0]
        one, neighbours = (
            next((i for i, place in enumerate(left) if place != (row + i, number, slot + i * step)), len(left))
            for step in (0, 1)
        )
        shelf, num = shelves[number], max(one, neighbours)
        yield slice(row, row + num), shelf.part(slot, 1).repeated(num) if one == num else shelf.part(slot, num)
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
