"""Runs the decoder for the engine: one forward pass for all scheduled tokens, then one sample per request that is due.

Ignores queues, threads and text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from core_model.adapter_bank import AdapterBank
from core_model.adapters import Adapter
from core_model.constrain import ConstraintFactory
from core_model.generation import SampledToken, SamplingParams
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.pages import root_hash
from core_model.passes import TILE, Invariance, Tile, passes
from core_model.pooled import Pooling
from core_model.pooler import HiddenPooler
from core_model.quantize import FEW_ROWS
from core_model.sampling import Sampler
from core_model.scheduler import Request, Work
from core_model.stats import CacheStats

Place = tuple[Request, int]  # a token of a request


class ModelRunner:
    """Implements `core_model.runs_model.Runner` over a decoder and its cache."""

    def __init__(
        self,
        decoder: Decoder,
        cache: PagedCache,
        constraints: ConstraintFactory | None = None,
        *,
        adapters: AdapterBank | None = None,
        is_batch_invariant: bool = False,
    ) -> None:
        self._decoder, self._cache, self._constraints = decoder, cache, constraints
        self.balanced_at: dict[int, list[int]] = {}  # expert counts when `rebalance_engine` last changed biases
        self._adapters = adapters or AdapterBank(decoder)
        self._invariance: Invariance = "off"
        if is_batch_invariant:
            self._invariance = "exact_rows" if decoder.has_exact_rows else "alone"
        is_apart = self._invariance == "exact_rows" and decoder.attends_apart
        self._apart = cache.page_size if is_apart else 1
        can_step = decoder.step is not None and decoder.step.takes((), cache)
        self._is_free = can_step and self._invariance == "exact_rows"

    @property
    def decoder(self) -> Decoder:
        """The model; change it between steps only."""
        return self._decoder

    @property
    def tile(self) -> int:
        """Prompts are cut at multiples of this."""
        return _tile(self._invariance)

    @property
    def vocab_size(self) -> int:
        """Token ids are 0 to this, exclusive."""
        return self._decoder.config.vocab_size

    @property
    def capacity(self) -> int:
        """Tokens that the cache holds, of all requests together."""
        return self._cache.capacity

    @property
    def few_rows(self) -> int:
        """Tokens of answers, guesses among them, that one call of the decoder takes."""
        return 1 if self._invariance == "alone" else FEW_ROWS

    def read_adapter(self, folder: Path) -> Adapter:
        """An adapter that fits the model; not usable until it is added. From any thread."""
        return self._adapters.read(folder)

    def add_adapter(self, adapter: Adapter) -> None:
        """Make an adapter usable."""
        self._adapters.add(adapter)

    def remove_adapter(self, adapter_id: str) -> None:
        """Let go of an adapter that no request uses."""
        self._adapters.remove(adapter_id)

    def cache_stats(self) -> CacheStats:
        """How full the cache is."""
        return self._cache.stats()

    def expert_counts(self) -> dict[int, list[int]]:
        """Tokens per expert since the start, by layer with experts."""
        return self._decoder.expert_counts()

    def pooler(self, pooling: Pooling) -> HiddenPooler:
        """What collects a prompt's hidden states, in a sampler's place."""
        return HiddenPooler(pooling)

    def prepare(self, params: SamplingParams, *, prompt_ids: Sequence[int], end_ids: Collection[int]) -> Sampler:
        """A sampler; compiles the grammar, if there is one."""
        if params.grammar is None:
            return Sampler(params, prompt_ids=prompt_ids, end_ids=end_ids)
        if self._constraints is None:
            raise ValueError("grammar: this engine was made without a constraint compiler. Leave grammar out.")
        return Sampler(params, prompt_ids=prompt_ids, constraint=self._constraints.compile(params.grammar))

    def _invariance_of(self, request: Request) -> Invariance:
        """How its tokens are cut: those of `Decoder.step` need not be, their bits are their own in any company."""
        return "off" if self._is_free and request.adapter is None else self._invariance

    def begin(self, request: Request) -> bool:
        """Give the request pages for all its tokens; those that hold its beginning already are shared."""
        root = b"" if _is_private(request) else root_hash(*request.cache_root)  # nothing is ever kept under b""
        begun = self._cache.begin(request.token_ids, root=root, num_expected=request.max_length)
        if begun is None:
            return False
        request.slot, num_cached = begun
        request.num_computed = num_cached - num_cached % _tile(self._invariance_of(request))
        return True

    def reserve(self, request: Request, num_tokens: int) -> bool:
        """Make room for the next `num_tokens` tokens; what is computed may be shared from here on."""
        assert request.slot is not None
        self._cache.publish(request.slot, self._shared(request))
        return self._cache.reserve(request.slot, request.num_computed + num_tokens)

    def end(self, request: Request) -> None:
        """Take the pages back; what they hold stays usable for a later prompt."""
        assert request.slot is not None
        self._cache.end(request.slot, self._shared(request))
        request.slot = None

    def step(self, batch: Sequence[Work]) -> list[list[SampledToken] | Exception]:
        """Run the batch's tokens through the decoder and sample where a request's last token is among them."""
        works = [_possible(work) for work in batch]
        hidden, logits = dict[Place, Tensor](), dict[Place, Tensor]()
        for invariance in ("off", "exact_rows", "alone"):
            cut = [work for work in works if self._invariance_of(work.request) == invariance]
            for tiles in passes(cut, invariance, few_rows=FEW_ROWS, apart=self._apart):
                self._run(tiles, hidden, logits)
        results = [_sample(work, logits) if work.samples else [] for work in works]
        for work, sampled in zip(works, results, strict=True):
            if work.request.speculation and not isinstance(sampled, Exception):
                _show(work, len(sampled), hidden)
            if isinstance(work.request.sampler, HiddenPooler):
                _pool(work, work.request.sampler, hidden)
        return results

    def _run(self, tiles: Sequence[Tile], hidden: dict[Place, Tensor], logits: dict[Place, Tensor]) -> None:
        """One call of the decoder; adds each tile's hidden states (N, D), and what a token is sampled from (V,)."""
        token_ids: list[int] = []
        segments, due = [], dict[Place, int]()
        tiles = sorted(tiles, key=_adapter_id)  # products of neighbours are one; a request's tiles stay in order
        for tile in tiles:
            request, end = tile.work.request, tile.start + tile.num_tokens
            assert request.slot is not None
            adapter_id = _adapter_id(tile) or None
            segments.append(Segment(tile.num_tokens, tile.start, request.slot, adapter_id, tile.context))
            for at in range(max(tile.start, len(request.token_ids) - 1), end):
                due[request, at] = len(token_ids) + at - tile.start
            token_ids += tile.token_ids
        hidden_TD = self._decoder(torch.tensor(token_ids, device=self._decoder.device), segments, self._cache)
        few = FEW_ROWS if self._invariance == "exact_rows" and not self._is_free else max(len(due), 1)
        due_ND = hidden_TD if len(due) == len(token_ids) else hidden_TD[list(due.values())]
        rows = torch.split(due_ND, few) if due else ()
        logits |= zip(due, (row for part_ND in rows for row in self._decoder.logits(part_ND)), strict=True)
        parts = torch.split(hidden_TD, [tile.num_tokens for tile in tiles])
        hidden |= zip(((tile.work.request, tile.start) for tile in tiles), parts, strict=True)

    def _shared(self, request: Request) -> list[int]:
        """The tokens whose entries others may use: whole tiles of the prompt, if outputs are batch-invariant."""
        num_shared = 0 if _is_private(request) else request.num_computed
        tile = _tile(self._invariance_of(request))
        if tile > 1:
            num_shared = min(num_shared, request.num_prompt)
            num_shared -= num_shared % tile
        return request.token_ids[:num_shared]


def _tile(invariance: Invariance) -> int:
    return 1 if invariance == "off" else TILE


def _adapter_id(tile: Tile) -> str:
    return tile.work.request.adapter.id if tile.work.request.adapter else ""


def _is_private(request: Request) -> bool:
    """Whether each of its tokens is to be computed, so that it shares no pages."""
    return isinstance(request.sampler, HiddenPooler) and request.sampler.needs_all


def _possible(work: Work) -> Work:
    """Without the guesses that the request's grammar forbids."""
    return replace(work, draft=work.request.sampler.possible(work.draft)) if work.draft else work


@torch.inference_mode()
def _sample(work: Work, logits: Mapping[Place, Tensor]) -> list[SampledToken] | Exception:
    """One token after the request's last one, and after each guess for as long as it is what was sampled before it.

    What goes wrong behind a right guess is left for its own turn: the answer may have ended before it.
    """
    request, sampled = work.request, list[SampledToken]()
    for i, guess in enumerate((*work.draft, None)):
        try:
            sampled.append(request.sampler.sample(logits[request, len(request.token_ids) - 1 + i]))
        except Exception as error:  # noqa: BLE001 - belongs to this request alone
            return sampled or error
        if sampled[-1].ends or sampled[-1].token_id != guess:
            break
    return sampled


def _show(work: Work, num_sampled: int, hidden: Mapping[Place, Tensor]) -> None:
    """Let who guesses see what the model made of the tokens that stay."""
    assert work.request.speculation is not None
    num_tokens = work.num_tokens + max(num_sampled - 1, 0)
    for at, part_ND in _parts(work.request, num_tokens, hidden):
        work.request.speculation.drafter.observe(at, part_ND)


def _pool(work: Work, pooler: HiddenPooler, hidden: Mapping[Place, Tensor]) -> None:
    num_virtual = work.request.adapter.num_virtual_tokens if work.request.adapter else 0
    for at, part_ND in _parts(work.request, work.num_tokens, hidden):
        pooler.add(part_ND, start=at, num_virtual=num_virtual)


def _parts(request: Request, num_tokens: int, hidden: Mapping[Place, Tensor]) -> Iterator[tuple[int, Tensor]]:
    """The hidden states of its next `num_tokens` tokens, as they were computed: (first token, states)."""
    at, end = request.num_computed, request.num_computed + num_tokens
    while at < end:
        part_ND = hidden[request, at][: end - at]
        yield at, part_ND
        at += len(part_ND)
