"""How a step is cut into calls of the decoder, so that the other requests in it do not change an answer's bits.

Matrix products round differently for different numbers of rows, so an answer may depend on what else runs, on what was
cached and on where a prompt was cut ("Defeating nondeterminism in LLM inference", Thinking Machines, 2025). Batch
invariance makes the shape of every product a function of the request alone:
- A prompt is computed in tiles that begin at multiples of `TILE`; a generated or guessed token is a tile of its own,
  or shares one with its neighbours where the decoder attends to each apart (`Decoder.attends_apart`). Attention runs
  tile by tile. Only whole tiles of prompts are shared between requests.
- Where a row of a linear layer comes out the same whatever rows are beside it (`Decoder.has_exact_rows`), the tiles of
  all requests share a call: prompts one, and generated tokens others, because few rows use another kernel than many.
- Elsewhere each tile is a call of its own, which costs what batching gains.
- In native code (`Decoder.step`) a token's bits are its own in any company, so there invariance is "off" and holds.
Ignores tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from core_model.scheduler import Work

TILE = 32  # tokens, as in a page of the cache
Invariance = Literal["off", "exact_rows", "alone"]


@dataclass(frozen=True)
class Tile:
    """`num_tokens` of a work's tokens from position `start` on, in the order of its request; guesses come last.

    Attributes:
        context: As in `core_model.attention.Segment`.
    """

    work: Work
    start: int
    num_tokens: int
    context: int = 0

    @property
    def is_generated(self) -> bool:
        """Whether these are tokens of the answer, or guesses."""
        return self.start >= self.work.request.num_prompt

    @property
    def token_ids(self) -> list[int]:
        """The tokens themselves."""
        end, known = self.start + self.num_tokens, self.work.request.token_ids
        draft = self.work.draft[max(self.start - len(known), 0) : max(end - len(known), 0)]
        return [*known[self.start : end], *draft]


def passes(batch: Sequence[Work], invariance: Invariance, *, few_rows: int, apart: int = 1) -> Iterator[list[Tile]]:
    """The calls of a step, in order.

    Args:
        few_rows: Up to so many rows use the kernel for few rows; calls of prompts have more.
        apart: Not 1: generated tokens attend apart, over the pages of so many entries up to their own.
    """
    if not batch:
        return
    if invariance == "off":
        yield [Tile(work, work.request.num_computed, work.num_tokens + len(work.draft)) for work in batch]
        return
    tiles = [tile for work in batch for tile in _tiles(work, apart=apart, few_rows=few_rows)]
    if invariance == "alone":
        yield from ([tile] for tile in tiles)
        return
    prompts = [tile for tile in tiles if not tile.is_generated]
    if prompts:
        while sum(tile.num_tokens for tile in prompts) <= few_rows:
            prompts.append(prompts[-1])  # again: what it writes to the cache is the same
        yield prompts
    some = list[Tile]()
    for tile in (tile for tile in tiles if tile.is_generated):
        if sum(other.num_tokens for other in some) + tile.num_tokens > few_rows:
            yield some
            some = []
        some.append(tile)
    if some:
        yield some


def _tiles(work: Work, *, apart: int, few_rows: int) -> Iterator[Tile]:
    at, num_prompt = work.request.num_computed, work.request.num_prompt
    end = at + work.num_tokens + len(work.draft)
    while at < end:
        if at < num_prompt:
            stop, context = min(end, num_prompt, at + TILE - at % TILE), 0
        else:
            page_end = at + apart - at % apart
            stop, context = min(end, page_end, at + few_rows), page_end if apart > 1 else 0
        yield Tile(work, at, stop - at, context)
        at = stop
