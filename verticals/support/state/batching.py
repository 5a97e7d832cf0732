"""Frames as tensors for the network, and probabilities of values from its scores. Ignores how scores are made.

Shapes: S slots, N spans, K named values, R slot-span pairs, X all candidates; see `network`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verticals.support.state.candidates import NAMED_FEATURES, SLOT_FEATURES, Frame
from verticals.support.state.encoder import TurnTokens
from verticals.support.state.network import Batch, Scores
from verticals.support.state.schema import DONTCARE
from verticals.support.state.spans import KINDS, SPAN_FEATURES

Embed = Callable[[Sequence[str]], Tensor]
_NEVER = -1e4  # a logit that adds nothing


@dataclass(frozen=True)
class Rows:
    """The candidates of one frame, as in `Batch` but counted from this frame's first slot and span.

    Attributes:
        slot_texts: What the slots are asked by, (S,); named_texts: what the named values are asked by, (K,).
        span_texts: Values of the spans whose tokens were read, (N,).
    """

    slot_texts: tuple[str, ...]
    slot_SF: Tensor
    named_texts: tuple[str, ...]
    named_values: tuple[str, ...]
    named_KF: Tensor
    slot_K: Tensor
    span_texts: tuple[str, ...]
    span_N2: Tensor
    span_NF: Tensor
    pair_R2: Tensor
    agrees_R: Tensor


def make_rows(frame: Frame, tokens: TurnTokens) -> Rows:
    """The rows of a frame of the turn that has these tokens; spans that were cut off are left out."""
    placed = [(span, at) for span in frame.spans if (at := tokens.token_range(span.start, span.end))]
    free = [i for i, view in enumerate(frame.slots) if not view.slot.values]
    pairs = [(slot, span) for slot in free for span in range(len(placed))]
    return Rows(
        slot_texts=tuple(view.slot.text for view in frame.slots),
        slot_SF=_floats([view.features for view in frame.slots]).view(-1, len(SLOT_FEATURES)),
        named_texts=tuple(named.about for named in frame.named),
        named_values=tuple(named.value for named in frame.named),
        named_KF=_floats([named.features for named in frame.named]).view(-1, len(NAMED_FEATURES)),
        slot_K=_ints([named.slot_idx for named in frame.named]),
        span_texts=tuple(span.text for span, _ in placed),
        span_N2=_ints([at for _, at in placed]).view(-1, 2),
        span_NF=_floats([(*span.features, *(span.kind == kind for kind in KINDS)) for span, _ in placed]).view(
            -1, len(SPAN_FEATURES) + len(KINDS)
        ),
        pair_R2=_ints(pairs).view(-1, 2),
        agrees_R=_floats([frame.slots[slot].kind == placed[span][0].kind for slot, span in pairs]),
    )


def collate(rows: Sequence[Rows], turn_idx: Sequence[int], embed: Embed) -> Batch:
    """One batch of frames; `turn_idx` names the turn of each."""
    slots, spans = _offsets([len(r.slot_texts) for r in rows]), _offsets([len(r.span_texts) for r in rows])
    return Batch(
        slot_SD=embed([text for r in rows for text in r.slot_texts]),
        slot_SF=torch.cat([r.slot_SF for r in rows]),
        turn_S=_ints([turn for r, turn in zip(rows, turn_idx, strict=True) for _ in r.slot_texts]),
        span_N2=torch.cat([r.span_N2 for r in rows]),
        span_NF=torch.cat([r.span_NF for r in rows]),
        turn_N=_ints([turn for r, turn in zip(rows, turn_idx, strict=True) for _ in r.span_texts]),
        named_KD=embed([text for r in rows for text in r.named_texts]),
        named_KF=torch.cat([r.named_KF for r in rows]),
        slot_K=torch.cat([r.slot_K + slot for r, slot in zip(rows, slots, strict=True)]),
        pair_R2=torch.cat([r.pair_R2 + _ints(at) for r, *at in zip(rows, slots, spans, strict=True)]),
        agrees_R=torch.cat([r.agrees_R for r in rows]),
    )


def group_logsumexp(scores: Scores, batch: Batch, allowed: Scores | None = None) -> Tensor:
    """The log of each slot's summed exponentials, (S,); of the candidates where `allowed` is True, if given."""
    num_slots = len(scores.keep_S2)
    slot_X = torch.cat([torch.arange(num_slots).repeat_interleave(2), batch.slot_K, batch.pair_R2[:, 0]])
    z_X = scores.flat()
    if allowed is not None:
        z_X = z_X.masked_fill(~allowed.flat(), _NEVER)
    top_S = torch.full((num_slots,), _NEVER).scatter_reduce(0, slot_X, z_X.detach(), "amax")
    sums_S = torch.zeros(num_slots).index_add(0, slot_X, (z_X - top_S[slot_X]).exp())
    return top_S + sums_S.log()


def read_probabilities(scores: Scores, batch: Batch, rows: Sequence[Rows]) -> list[list[dict[str | None, float]]]:
    """By frame and slot, the probability of each value; None is "no change". Candidates of one value add up."""
    total_S = group_logsumexp(scores, batch)
    keep = (scores.keep_S2 - total_S[:, None]).exp().tolist()
    named = (scores.named_K - total_S[batch.slot_K]).exp().tolist()
    pairs = (scores.pair_R - total_S[batch.pair_R2[:, 0]]).exp().tolist()
    slots: list[dict[str | None, float]] = [{None: unchanged, DONTCARE: any_value} for unchanged, any_value in keep]
    values = [value for r in rows for value in r.named_values]
    for slot, value, probability in zip(batch.slot_K.tolist(), values, named, strict=True):
        slots[slot][value] = slots[slot].get(value, 0.0) + probability
    spans = [text for r in rows for text in r.span_texts]
    for (slot, span), probability in zip(batch.pair_R2.tolist(), pairs, strict=True):
        slots[slot][spans[span]] = slots[slot].get(spans[span], 0.0) + probability
    starts = _offsets([len(r.slot_texts) for r in rows])
    return [slots[start : start + len(r.slot_texts)] for r, start in zip(rows, starts, strict=True)]


def _offsets(lengths: Sequence[int]) -> list[int]:
    return [sum(lengths[:i]) for i in range(len(lengths))]


def _ints(values: Sequence[object]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def _floats(values: Sequence[object]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
