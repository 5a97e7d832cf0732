"""Decode steps as recorded graphs, one for each size of batch up to a power of two. Ignores what a step computes.

A step launches some hundred kernels of a few microseconds; recorded once, they are launched together. A graph reads and
writes fixed places: what is new is copied there before, and rows that nobody asked for repeat the first one, so that
they read no other weights and write nothing new.
Shapes: B requests, C pages a request, D model dim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core_model.attention import Cache, Segment
from core_model.kernels.gpu.attention import PagedTokens


class Record(Protocol):
    """Runs `run` once, then records what it launches; calling the result launches that again."""

    def __call__(self, run: Callable[[], None]) -> Callable[[], object]: ...


class CudaRecorder:
    """CUDA graphs, all in one pool of memory: only one runs at a time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], None]) -> Callable[[], object]:
        """The first run, beside the recording, compiles kernels and has libraries take their memory."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):  # other threads go on
            run()
        return graph.replay


class PageTables(Protocol):
    """Where a cache has each slot's tokens."""

    @property
    def page_size(self) -> int: ...

    def pages_of(self, slot: int) -> NDArray[np.int32]: ...


class Runs(Protocol):
    """What is recorded: a `core_model.kernels.gpu.step.Step`."""

    @property
    def can_run(self) -> bool: ...

    def replaceable(self) -> Sequence[object]: ...

    def __call__(self, x_BD: Tensor, tokens: PagedTokens, num_tokens: Tensor) -> Tensor: ...


class GraphedSteps:
    """Runs the requests of a call that have one new token; implements `core_model.model.Step`.

    Args:
        others: Runs those that have more, prompts: `Decoder.through_layers`.
        cache: The only one that it takes, whose entries the step reads and writes.
        x_BD: Where embeddings are put: as many rows as requests at once, rounded up by `bucket`.
        max_pages: Pages that a request may come to have.
        num_experts: Routed experts of a layer.
    """

    def __init__(
        self,
        step: Runs,
        cache: PageTables,
        *,
        others: Callable[[Tensor, Sequence[Segment], Any], Tensor],
        record: Record,
        x_BD: Tensor,
        max_pages: int,
        num_experts: int,
    ) -> None:
        self._num_experts, self._others = num_experts, others
        self._step, self._cache, self._record, self._x_BD = step, cache, record, x_BD
        self._max_pages, size, device = max_pages, len(x_BD), x_BD.device
        self._position_B = torch.zeros(size, dtype=torch.int64, device=device)
        self._page_BC = torch.zeros(size, max_pages, dtype=torch.int32, device=device)
        self._num_tokens = torch.zeros((), dtype=torch.int32, device=device)
        self._read, self._laid_out = step.replaceable(), list[tuple[int, int]]()
        self._graphs: dict[int, tuple[Callable[[], object], Tensor]] = {}

    def takes(self, segments: Sequence[Segment], cache: Cache | None) -> bool:
        """Whether there are steps of one token among these, without adapters, over the cache of the graphs."""
        num = sum(map(_is_step, segments))
        return 0 < num <= len(self._x_BD) and self._step.can_run and id(cache) == id(self._cache)

    def expert_counts(self, layer_idx: int) -> list[int]:
        """None: the layers count what comes here."""
        return [0] * self._num_experts

    @torch.inference_mode()
    def __call__(self, x_TD: Tensor, segments: Sequence[Segment], cache: Any) -> Tensor:
        """Embeddings to hidden states, (T, D), as the decoder's."""
        steps = [segment for segment in segments if _is_step(segment)]
        if len(steps) == len(segments):
            return self._run(x_TD, steps)
        of_step = [_is_step(segment) for segment in segments for _ in range(segment.num_tokens)]
        ours, theirs = (
            torch.tensor([row for row, is_step in enumerate(of_step) if is_step == wanted], device=x_TD.device)
            for wanted in (True, False)
        )
        rest = [segment for segment in segments if not _is_step(segment)]
        hidden_TD = torch.empty_like(x_TD)
        hidden_TD[ours], hidden_TD[theirs] = self._run(x_TD[ours], steps), self._others(x_TD[theirs], rest, cache)
        return hidden_TD

    def _run(self, x_TD: Tensor, segments: Sequence[Segment]) -> Tensor:
        num, size = len(segments), bucket(len(segments))
        rows = [*range(num), *[0] * (size - num)]
        self._lay_out([segments[i].slot for i in rows])
        self._position_B[:size].copy_(torch.tensor([segments[i].start for i in rows]), non_blocking=True)
        self._x_BD[:num].copy_(x_TD)
        self._x_BD[num:size].copy_(x_TD[:1].expand(size - num, -1))
        replaceable = self._step.replaceable()
        if any(old is not new for old, new in zip(self._read, replaceable, strict=True)):
            self._graphs.clear()
        self._read = replaceable
        if size not in self._graphs:
            self._num_tokens.fill_(0)  # what runs while recording is counted for nobody
            self._graphs[size] = self._recorded(size)
        self._num_tokens.fill_(num)
        replay, hidden_BD = self._graphs[size]
        replay()
        return hidden_BD[:num].clone()

    def _lay_out(self, slots: Sequence[int]) -> None:
        """Write these rows of the table of pages, unless they are there: pages are only ever added to a slot's."""
        pages = [self._cache.pages_of(slot) for slot in slots]
        wanted = [(slot, len(its)) for slot, its in zip(slots, pages, strict=True)]
        if wanted == self._laid_out[: len(wanted)]:
            return
        width = min(self._max_pages, max(map(len, pages)))
        page_BC = np.zeros((len(slots), width), np.int32)
        for row, its in zip(page_BC, pages, strict=True):
            row[: len(its)] = its[:width]
        self._page_BC[: len(slots), :width].copy_(torch.from_numpy(page_BC))
        self._laid_out[: len(slots)] = wanted

    def _recorded(self, size: int) -> tuple[Callable[[], object], Tensor]:
        tokens = PagedTokens(self._page_BC[:size], self._position_B[:size], self._cache.page_size)
        out: list[Tensor] = []

        def run() -> None:
            hidden_BD = self._step(self._x_BD[:size], tokens, self._num_tokens)
            if out:
                out[0].copy_(hidden_BD)
            else:
                out.append(hidden_BD)  # at the run before recording: every later one writes there

        replay = self._record(run)
        return replay, out[0]


def _is_step(segment: Segment) -> bool:
    return segment.num_tokens == 1 and not segment.context


def bucket(num: int) -> int:
    """The power of two that so many requests fill up to."""
    return 1 << (num - 1).bit_length()
