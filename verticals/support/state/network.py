"""Scores every candidate of every slot by the words of the turn. Ignores where candidates come from, and training.

A slot's description asks the turn's tokens (attention); a span is its first and last token; a listed or copied value
asks too, by its own text. All that is known of a slot or value is text or a rule, so new services need no training.
Shapes: B turns, T tokens, D width of the encoder, d width here, S slots, N spans, K named values, Q = S + K texts that
ask, R slot-span pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from verticals.support.state.candidates import NAMED_FEATURES, SLOT_FEATURES
from verticals.support.state.spans import KINDS, SPAN_FEATURES

NUM_HEADS, REACH = 4, 5  # of attention; tokens that the convolution sees at once


@dataclass(frozen=True)
class Batch:
    """Frames as flat lists; `*_B` index turns, `*_S` slots.

    Attributes:
        slot_SD: Embedded slot texts; slot_SF: SLOT_FEATURES; turn_S: their turn.
        span_N2: First and last token; span_NF: SPAN_FEATURES and the kind; turn_N: their turn.
        named_KD: Embedded texts; named_KF: NAMED_FEATURES; slot_K: the slot that may take it.
        pair_R2: Slot and span of each pair; agrees_R: 1 if slot and span are of one kind.
    """

    slot_SD: Tensor
    slot_SF: Tensor
    turn_S: Tensor
    span_N2: Tensor
    span_NF: Tensor
    turn_N: Tensor
    named_KD: Tensor
    named_KF: Tensor
    slot_K: Tensor
    pair_R2: Tensor
    agrees_R: Tensor


@dataclass(frozen=True)
class Scores:
    """Logits, comparable within a slot: of no change and of no wish (S, 2), of named values (K,), of pairs (R,)."""

    keep_S2: Tensor
    named_K: Tensor
    pair_R: Tensor

    def flat(self) -> Tensor:
        """All candidates in one row: (2 S + K + R,)."""
        return torch.cat([self.keep_S2.flatten(), self.named_K, self.pair_R])


class StateNetwork(nn.Module):
    """The trained part above the encoder, which is not trained."""

    def __init__(self, dim: int = 384, width: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.token, self.segment = nn.Linear(dim, width), nn.Embedding(2, width)
        self.neighbours, self.norm = nn.Conv1d(width, width, REACH, padding=REACH // 2), nn.LayerNorm(width)
        self.query, self.value_query = nn.Linear(dim, width), nn.Linear(dim, width)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.slot = nn.Linear(2 * width + len(SLOT_FEATURES) + 1, width)
        self.slot_out = nn.Linear(width, width)
        self.keep = nn.Linear(width, 2)
        self.first, self.last = nn.Linear(width, width), nn.Linear(width, width)
        self.span_features = nn.Linear(len(SPAN_FEATURES) + len(KINDS), width)
        self.pair_slot, self.pair_span = nn.Linear(width, width), nn.Linear(width, width)
        self.pair_both, self.pair_agrees = nn.Linear(width, width), nn.Linear(1, width)
        self.pair_out = nn.Linear(width, 1)
        self.named = nn.Linear(2 * width + len(NAMED_FEATURES) + 1, width)
        self.named_slot, self.named_both = nn.Linear(width, width), nn.Linear(width, width)
        self.named_out = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, user_BT: Tensor, batch: Batch) -> Scores:
        """Score the candidates of the batch.

        Args:
            x_BTD: The encoder's states of the turns.
            mask_BT: True where there is a token.
            user_BT: True where it is the customer's.
        """
        x_BTd = self._read_tokens(x_BTD, mask_BT, user_BT)
        query_Sd = self.query(self.dropout(batch.slot_SD))
        asks_Kd = self.value_query(self.dropout(batch.named_KD))
        asked_QD = torch.cat([batch.slot_SD, batch.named_KD])
        turn_Q = torch.cat([batch.turn_S, batch.turn_S[batch.slot_K]])
        read_Qd = self._attend(torch.cat([query_Sd, asks_Kd]), turn_Q, x_BTd, mask_BT)
        said_Q1 = _best_cosine(asked_QD, turn_Q, x_BTD, user_BT)[:, None]
        num_slots = len(query_Sd)

        known_SX = torch.cat([query_Sd, read_Qd[:num_slots], batch.slot_SF, said_Q1[:num_slots]], -1)
        slot_Sd = self.dropout(functional.gelu(self.slot_out(functional.gelu(self.slot(known_SX)))))

        named_Kd = self.named(torch.cat([asks_Kd, read_Qd[num_slots:], batch.named_KF, said_Q1[num_slots:]], -1))
        named_Kd = named_Kd + self.named_slot(slot_Sd)[batch.slot_K]
        named_Kd = named_Kd + self.named_both(asks_Kd * query_Sd[batch.slot_K])

        span_Nd = self.first(x_BTd[batch.turn_N, batch.span_N2[:, 0]])
        span_Nd = span_Nd + self.last(x_BTd[batch.turn_N, batch.span_N2[:, 1]]) + self.span_features(batch.span_NF)
        slot_R, span_R = batch.pair_R2.unbind(1)
        pair_Rd = self.pair_slot(slot_Sd)[slot_R] + self.pair_span(span_Nd)[span_R]
        pair_Rd = (
            pair_Rd + self.pair_both(query_Sd[slot_R] * span_Nd[span_R]) + self.pair_agrees(batch.agrees_R[:, None])
        )
        return Scores(
            self.keep(slot_Sd),
            self.named_out(self.dropout(functional.gelu(named_Kd)))[:, 0],
            self.pair_out(self.dropout(functional.gelu(pair_Rd)))[:, 0],
        )

    def _read_tokens(self, x_BTD: Tensor, mask_BT: Tensor, user_BT: Tensor) -> Tensor:
        """Tokens in the network's width, each with what stands beside it."""
        x_BTd = (self.token(self.dropout(x_BTD)) + self.segment(user_BT.long())) * mask_BT[..., None]
        beside_BTd = self.neighbours(x_BTd.transpose(1, 2)).transpose(1, 2)
        normed: Tensor = self.norm(x_BTd + functional.gelu(beside_BTd))
        return normed

    def _attend(self, query_Qd: Tensor, turn_Q: Tensor, x_BTd: Tensor, mask_BT: Tensor) -> Tensor:
        """What each query reads in its own turn, (Q, d), with several heads."""
        key_BTHd = self.key(x_BTd).view(*x_BTd.shape[:2], NUM_HEADS, -1)
        value_BTHd = self.value(x_BTd).view(*x_BTd.shape[:2], NUM_HEADS, -1)
        query_QHd = query_Qd.view(len(query_Qd), NUM_HEADS, -1)
        score_QTH = torch.einsum("qhd,qthd->qth", query_QHd, key_BTHd[turn_Q]) * query_QHd.shape[-1] ** -0.5
        share_QTH = score_QTH.masked_fill(~mask_BT[turn_Q][..., None], float("-inf")).softmax(1)
        return torch.einsum("qth,qthd->qhd", share_QTH, value_BTHd[turn_Q]).flatten(1)


def _best_cosine(asked_QD: Tensor, turn_Q: Tensor, x_BTD: Tensor, user_BT: Tensor) -> Tensor:
    """Cosine of each text with the customer's nearest token, (Q,): both are of one encoder, so it needs no training."""
    cosine_BTQ = torch.einsum("btd,qd->btq", functional.normalize(x_BTD, dim=-1), asked_QD)
    cosine_QT = cosine_BTQ[turn_Q, :, torch.arange(len(turn_Q))]
    best: Tensor = cosine_QT.masked_fill(~user_BT[turn_Q], -1.0).amax(1)
    return best
