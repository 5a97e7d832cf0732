"""The trained scorer: MiniLM's states of the turn, then the network over candidates. Ignores training.

One file, `state.safetensors`: the network's weights in fp16, under their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from verticals.contract import Unavailable
from verticals.support.state.batching import collate, make_rows, read_probabilities
from verticals.support.state.candidates import Frame
from verticals.support.state.dialogue import Turn
from verticals.support.state.encoder import TurnEncoder, TurnTokens, pad
from verticals.support.state.network import StateNetwork
from verticals.support.state.tracker import Probabilities

WEIGHTS = "state.safetensors"


class NeuralScorer:
    """A `tracker.Scorer`. Safe from many threads."""

    def __init__(self, encoder: TurnEncoder, network: StateNetwork) -> None:
        self._encoder, self._network = encoder, network.eval()

    def score(self, turn: Turn, frames: Sequence[Frame]) -> list[list[Probabilities]]:
        """One pass over the turn for all frames."""
        if not any(frame.slots for frame in frames):
            return [[] for _ in frames]
        tokens = self._encoder.tokenize(turn)
        ids_BT, mask_BT, user_BT = pad_turns([tokens])
        rows = [make_rows(frame, tokens) for frame in frames]
        with torch.inference_mode():
            batch = collate(rows, [0] * len(rows), self._encoder.embed)
            scores = self._network(self._encoder.states(ids_BT, mask_BT), mask_BT, user_BT, batch)
        return [list(slots) for slots in read_probabilities(scores, batch, rows)]

    def to_bytes(self) -> bytes:
        """The weights in fp16, as safetensors."""
        weights = self._network.state_dict()
        return bytes(save({name: weight.half().contiguous() for name, weight in weights.items()}))


def load_scorer(path: Path, encoder: TurnEncoder) -> NeuralScorer:
    """What `to_bytes` wrote.

    Raises:
        Unavailable: the file is damaged, or was written for another network or encoder.
    """
    network = StateNetwork(encoder.dim)
    try:
        network.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        raise Unavailable(
            "the dialogue state model cannot be read", field=WEIGHTS, remedy="Train it again: trivium demo support."
        ) from error
    return NeuralScorer(encoder, network)


def pad_turns(turns: Sequence[TurnTokens]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (B, T), where there is a token, and where it is the customer's."""
    ids_BT, mask_BT = pad([turn.ids for turn in turns])
    starts_B = torch.tensor([turn.user_from for turn in turns])
    return ids_BT, mask_BT, mask_BT & (torch.arange(ids_BT.shape[1]) >= starts_B[:, None])
