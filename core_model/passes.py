"""How a step is cut into calls of the decoder, so that the other requests in it do not change an answer's bits.

Matrix products round differently for different numbers of rows, so an answer may depend on what else runs, on what was
cached and on where a prompt was cut ("Defeating nondeterminism in LLM inference", Thinking Machines, 2025). Batch
invariance makes the shape of every product a function of the request alone:
- A prompt is computed in tiles that begin at multiples of `TILE`; a generated or guessed token is a tile of its own.
  Attention runs tile by tile. Only whole tiles of prompts are shared between requests.
- Where a row of a linear layer comes out the same whatever rows are beside it (`Decoder.has_exact_rows`), the tiles of
  all requests share a call: prompts one, and generated tokens others, because few rows use another kernel than many.
- Elsewhere each tile is a call of its own, which costs what batching gains.
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
    """`num_tokens` of a work's tokens from position `start` on, in the order of its request; guesses come last."""

    work: Work
    start: int
    num_tokens: int

    @property
    def token_ids(self) -> list[int]:
        """The tokens themselves."""
        end, known = self.start + self.num_tokens, self.work.request.token_ids
        draft = self.work.draft[max(self.start - len(known), 0) : max(end - len(known), 0)]
        return [*known[self.start : end], *draft]


def passes(batch: Sequence[Work], invariance: Invariance, *, few_rows: int) -> Iterator[list[Tile]]:
    """The calls of a step, in order.

    Args:
        few_rows: Up to so many rows use the kernel for few rows; calls of prompts have more.
    """
    if invariance == "off":
        yield [Tile(work, work.request.num_computed, work.num_tokens + len(work.draft)) for work in batch]
        return
    tiles = [tile for work in batch for tile in _tiles(work)]
    if invariance == "alone":
        yield from ([tile] for tile in tiles)
        return
    prompts = [tile for tile in tiles if _is_prompt(tile)]
    if prompts:
        while sum(tile.num_tokens for tile in prompts) <= few_rows:
            prompts.append(prompts[-1])  # again: what it writes to the cache is the same
        yield prompts
    generated = [tile for tile in tiles if not _is_prompt(tile)]
    for first in range(0, len(generated), few_rows):
        yield generated[first : first + few_rows]


def _tiles(work: Work) -> Iterator[Tile]:
    at = work.request.num_computed
    end = at + work.num_tokens + len(work.draft)
    while at < end:
        prompt_end = min(end, work.request.num_prompt, at + TILE - at % TILE)
        stop = prompt_end if at < work.request.num_prompt else at + 1
        yield Tile(work, at, stop - at)
        at = stop


def _is_prompt(tile: Tile) -> bool:
    return tile.start < tile.work.request.num_prompt
