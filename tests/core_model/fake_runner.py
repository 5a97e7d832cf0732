"""A runner without a model: it repeats a script of tokens, and fails where it is told to."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core_model.generation import SampledToken, SamplingParams
from core_model.pooled import FloatArray, Pooling
from core_model.scheduler import Request, Work
from core_model.stats import CacheStats

POISON, BAD_SAMPLE, NO_SLOT = 250, 251, 252  # prompt tokens that make the forward pass, the sampling, the start fail


class FakePooler:
    """Pools a prompt to its length and its sum."""

    needs_all = True

    def __init__(self) -> None:
        self.prompt: list[int] = []

    def sample(self, logits_V: object) -> SampledToken:
        return SampledToken(0)

    def vector(self) -> FloatArray:
        return np.array([len(self.prompt), sum(self.prompt)], np.float32)


@dataclass(frozen=True)
class FakeAdapter:
    """An adapter that changes nothing; folders of one name hold the same one."""

    id: str
    num_virtual_tokens: int = 0


class FakeRunner:
    """Answers with `script`; step by step while `gate` is set."""

    vocab_size = 300
    capacity = 10**10
    few_rows = 8
    tile = 1

    def __init__(self, script: Sequence[int]) -> None:
        self.script = list(script)
        self.gate = threading.Event()
        self.gate.set()
        self.open_slots: set[int] = set()
        self.ended: list[Request] = []
        self.batch_sizes: list[int] = []
        self.adapter_ids: set[str] = set()

    def prepare(self, params: SamplingParams, *, prompt_ids: Sequence[int], end_ids: Collection[int]) -> None:
        if params.grammar is not None:
            raise ValueError("grammar: not usable.")

    def read_adapter(self, folder: Path) -> FakeAdapter:
        return FakeAdapter(folder.name)

    def add_adapter(self, adapter: FakeAdapter) -> None:
        self.adapter_ids.add(adapter.id)

    def remove_adapter(self, adapter_id: str) -> None:
        self.adapter_ids.remove(adapter_id)

    def begin(self, request: Request) -> bool:
        if NO_SLOT in request.token_ids:
            raise RuntimeError("no slot")
        request.slot = min(set(range(99)) - self.open_slots)
        self.open_slots.add(request.slot)
        return True

    def reserve(self, request: Request, num_tokens: int) -> bool:
        return True

    def cache_stats(self) -> CacheStats:
        return CacheStats(pages_total=0, pages_free=0, pages_cached=0, host_pages=0)

    def expert_counts(self) -> dict[int, list[int]]:
        return {1: [len(self.ended), 0]}

    def pooler(self, pooling: Pooling) -> FakePooler:
        return FakePooler()

    def step(self, batch: Sequence[Work]) -> list[list[SampledToken] | Exception]:
        self.gate.wait()
        if any(POISON in work.request.token_ids for work in batch):
            raise RuntimeError("device-side assert")
        self.batch_sizes.append(len(batch))
        return [self._next(work) for work in batch]

    def end(self, request: Request) -> None:
        assert request.slot is not None
        self.open_slots.remove(request.slot)
        request.slot = None
        self.ended.append(request)

    def _next(self, work: Work) -> list[SampledToken] | Exception:
        if BAD_SAMPLE in work.request.token_ids:
            return RuntimeError("matcher stopped")
        if work.samples and isinstance(work.request.sampler, FakePooler):
            work.request.sampler.prompt = work.request.token_ids
            return [work.request.sampler.sample(None)]
        if not work.samples:
            return []
        sampled = list[SampledToken]()
        num_new = len(work.request.token_ids) - work.request.num_prompt
        for i, guess in enumerate((*work.draft, None)):
            sampled.append(SampledToken(self.script[(num_new + i) % len(self.script)]))
            if sampled[-1].token_id != guess:
                break
        return sampled
