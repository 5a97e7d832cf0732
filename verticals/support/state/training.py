"""Trains the scorer on the training split of Schema-Guided Dialogue. Ignores the other splits.

One example is a service in a turn, with the right state before it. The loss of a slot is minus the log of the summed
probability of all candidates that give the right value after the turn ("no change" is one of them when it stays); slots
whose value no candidate gives are left out. Slot texts are varied (name, description, both), so that the network does
not learn them by heart.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from verticals.contract import Progress
from verticals.support.state.batching import Rows, collate, group_logsumexp, make_rows
from verticals.support.state.candidates import Frame, build_frame
from verticals.support.state.dialogue import State
from verticals.support.state.encoder import TurnEncoder, TurnTokens, pad
from verticals.support.state.network import Scores, StateNetwork
from verticals.support.state.neural import WEIGHTS, NeuralScorer, pad_turns
from verticals.support.state.schema import DONTCARE, Service
from verticals.support.state.sgd import Dialogue, Split

NUM_DIALOGUES, EPOCHS, BATCH, RATE, WARM_UP_STEPS, SEED = 2000, 4, 32, 1e-3, 50, 20261101
_Item = TypeVar("_Item")
_UNREACHED = -5e3  # log probability below which no candidate was right


@dataclass(frozen=True)
class Example:
    """A frame's rows, the index of its turn, the texts that may ask for each slot, and which candidates are right."""

    rows: Rows
    turn_idx: int
    asked_by: tuple[tuple[str, ...], ...]
    right: Scores


def train_tracker(
    split: Split, progress: Progress, *, num_dialogues: int = NUM_DIALOGUES
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Train on a sample of a training split (its services stay, its dialogues are drawn by the fixed seed).

    Returns:
        (files, card) for the registry.
    """
    progress("dialogue state: reading turns", 0.0)
    sample = _shuffled(split.dialogues, np.random.default_rng(SEED))[:num_dialogues]
    scorer = fit(sample, split.services, TurnEncoder(), progress=progress)
    card = {
        "trained_on": f"Schema-Guided Dialogue (Rastogi 2020), {len(sample)} dialogues of the training split",
        "data": {"Schema-Guided Dialogue, those drawn": hashlib.sha256(repr(sample).encode()).hexdigest()},
        "command": "verticals.support.state.shop.train_once",
        "licence": "Weights trained at set-up on CC BY-SA 4.0 data; not distributed with the product.",
        "recipe": f"{EPOCHS} epochs, batch {BATCH}, rate {RATE:g}, seed {SEED}",
        "metrics": {},
        "limits": "English. Figures: python -m benchmarks.dialogue_state.",
    }
    return {WEIGHTS: scorer.to_bytes()}, card


def fit(
    dialogues: Sequence[Dialogue],
    services: Mapping[str, Service],
    encoder: TurnEncoder,
    *,
    progress: Progress,
    epochs: int = EPOCHS,
) -> NeuralScorer:
    """The scorer after `epochs` passes over the dialogues; the same data gives the same scorer."""
    torch.manual_seed(SEED)
    draw = np.random.default_rng(SEED)
    turns, examples = read_examples(dialogues, services, encoder)
    progress("dialogue state: encoding", 0.05)
    states = [x_TD for batch in _chunks(turns, 64) for x_TD in _states(batch, encoder)]
    network = StateNetwork(encoder.dim)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    steps = epochs * math.ceil(len(examples) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    network.train()
    for step, batch in enumerate(batch for _ in range(epochs) for batch in _batches(examples, turns, draw)):
        loss = _loss(batch, turns, states, encoder, network, draw)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            progress("dialogue state: training", 0.2 + 0.8 * step / steps)
    return NeuralScorer(encoder, network)


def read_examples(
    dialogues: Sequence[Dialogue], services: Mapping[str, Service], encoder: TurnEncoder
) -> tuple[list[TurnTokens], list[Example]]:
    """All turns' tokens, and an example for each service in each turn, with the right state before it."""
    turns: list[TurnTokens] = []
    examples: list[Example] = []
    for dialogue in dialogues:
        state = State()
        for labelled in dialogue.turns:
            tokens = encoder.tokenize(labelled.turn)
            for name, gold in labelled.gold.items():
                frame = build_frame(services[name], labelled.turn, state, services)
                rows = make_rows(frame, tokens)
                asked_by = tuple((v.slot.text, v.slot.description, v.slot.spoken_name) for v in frame.slots)
                examples.append(Example(rows, len(turns), asked_by, right_candidates(frame, rows, gold, state)))
            turns.append(tokens)
            right = {
                name: {slot: wordings[0] for slot, wordings in gold.items()} for name, gold in labelled.gold.items()
            }
            state = state.after(labelled.turn.acts, right)
    return turns, examples


def right_candidates(frame: Frame, rows: Rows, gold: Mapping[str, Sequence[str]], before: State) -> Scores:
    """Masks: which candidates give the right value; letter case does not count."""
    right = [{wording.lower() for wording in gold.get(view.slot.name, ())} for view in frame.slots]
    current = [before.of(frame.service.name).get(view.slot.name) for view in frame.slots]
    keep = [[not r if c is None else c.lower() in r, DONTCARE in r] for r, c in zip(right, current, strict=True)]
    named = [v.lower() in right[slot] for v, slot in zip(rows.named_values, rows.slot_K.tolist(), strict=True)]
    pairs = [rows.span_texts[span].lower() in right[slot] for slot, span in rows.pair_R2.tolist()]
    return Scores(*(torch.tensor(mask, dtype=torch.bool) for mask in (keep, named, pairs)))


def _loss(
    batch: Sequence[Example],
    turns: Sequence[TurnTokens],
    states: Sequence[Tensor],
    encoder: TurnEncoder,
    network: StateNetwork,
    draw: np.random.Generator,
) -> Tensor:
    _, mask_BT, user_BT = pad_turns([turns[example.turn_idx] for example in batch])
    states_BTD = nn.utils.rnn.pad_sequence([states[example.turn_idx].float() for example in batch], batch_first=True)
    rows = [replace(e.rows, slot_texts=tuple(_vary(texts, draw) for texts in e.asked_by)) for e in batch]
    frames = collate(rows, range(len(batch)), encoder.embed)
    scores = network(states_BTD, mask_BT, user_BT, frames)
    right = Scores(
        torch.cat([e.right.keep_S2 for e in batch]),
        torch.cat([e.right.named_K for e in batch]),
        torch.cat([e.right.pair_R for e in batch]),
    )
    log_right_S = group_logsumexp(scores, frames, right)
    loss_S = group_logsumexp(scores, frames) - log_right_S
    return loss_S[log_right_S > _UNREACHED].sum() / len(batch)


def _vary(texts: tuple[str, ...], draw: np.random.Generator) -> str:
    """The full text every other time, else any."""
    return texts[0] if draw.random() < 0.5 else texts[draw.integers(len(texts))]


def _states(turns: Sequence[TurnTokens], encoder: TurnEncoder) -> Iterator[Tensor]:
    """Per turn (T, D), fp16: the encoder is not trained, so they are computed once."""
    x_BTD = encoder.states(*pad([turn.ids for turn in turns])).half()
    for x_TD, turn in zip(x_BTD, turns, strict=True):
        yield x_TD[: len(turn.ids)].clone()


def _batches(
    examples: Sequence[Example], turns: Sequence[TurnTokens], draw: np.random.Generator
) -> Iterator[list[Example]]:
    """All examples in random order; those of a batch are of similar length."""
    batches = []
    for pool in _chunks(_shuffled(examples, draw), 20 * BATCH):
        batches += _chunks(sorted(pool, key=lambda example: len(turns[example.turn_idx].ids)), BATCH)
    yield from map(list, _shuffled(batches, draw))


def _chunks(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _shuffled(items: Sequence[_Item], draw: np.random.Generator) -> list[_Item]:
    return [items[i] for i in draw.permutation(len(items))]


def _rate(step: int, steps: int) -> float:
    """A short rise, then a straight fall."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(0.02, 1 - step / steps)
