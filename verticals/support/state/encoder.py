"""Vectors of texts and of a turn's tokens, from the embedded MiniLM. Ignores what is done with them.

The system's and the customer's message are read as one sequence, so that each word is understood in its context. The
weights are as published. Shapes: B texts, T tokens, D width (384).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from retrieval.bert import BertEncoder
from retrieval.embed import read_encoder
from verticals.support.state.dialogue import Turn

MAX_TOKENS = 128  # of each message; of the customer's the end is cut, of the system's the beginning


@dataclass(frozen=True)
class TurnTokens:
    """Ids of "[CLS] system [SEP] user [SEP]"; `offsets`: characters of the user's, from `user_from` on."""

    ids: tuple[int, ...]
    user_from: int
    offsets: tuple[tuple[int, int], ...]

    def token_range(self, start: int, end: int) -> tuple[int, int] | None:
        """First and last token of the characters [start, end) of the user's message; None if they were cut off."""
        inside = [i for i, (first, last) in enumerate(self.offsets) if first < end and last > start]
        return (self.user_from + inside[0], self.user_from + inside[-1]) if inside else None


class TurnEncoder:
    """MiniLM's tokenizer and layers.

    Args:
        model_dir: Folder with config.json, model.safetensors and tokenizer.json; the package's own if None.
    Raises:
        ValueError: the package is not installed.
    """

    def __init__(self, model_dir: Path | None = None) -> None:
        read = read_encoder(model_dir)
        self._config, self._tokenizer = read.config, read.tokenizer
        self._bert = BertEncoder.from_pretrained(read.weights, read.config)
        self._vectors: dict[str, Tensor] = {}

    @property
    def dim(self) -> int:
        """D."""
        return int(self._config["hidden_size"])

    def tokenize(self, turn: Turn) -> TurnTokens:
        """Tokens of a turn."""
        system = self._tokenizer.encode(turn.system, add_special_tokens=False).ids[-MAX_TOKENS:]
        user = self._tokenizer.encode(turn.user, add_special_tokens=False)
        cls, sep = self._tokenizer.encode("").ids
        ids = (cls, *system, sep, *user.ids[:MAX_TOKENS], sep)
        return TurnTokens(ids, len(system) + 2, tuple(user.offsets[:MAX_TOKENS]))

    def embed(self, texts: Sequence[str]) -> Tensor:
        """(B, D): the mean over tokens, of length 1. For texts of schemas: each is kept for the next time."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        for start in range(0, len(new), 64):
            batch = new[start : start + 64]
            ids_BT, mask_BT = pad([self._tokenizer.encode(text).ids[: 2 * MAX_TOKENS] for text in batch])
            with torch.no_grad():
                x_BTD = self._bert.forward(ids_BT, mask_BT) * mask_BT[..., None]
                self._vectors.update(zip(batch, functional.normalize(x_BTD.sum(1), dim=-1), strict=True))
        return torch.stack([self._vectors[text] for text in texts]) if texts else torch.zeros(0, self.dim)

    def states(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, T, D) of the last layer, without gradients."""
        with torch.no_grad():
            return self._bert.forward(ids_BT, mask_BT)


def pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids (B, T), zero where there is none, and the mask that says where there is one."""
    longest = max(map(len, rows))
    ids_BT = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    lengths_B = torch.tensor([len(row) for row in rows])
    return ids_BT, torch.arange(longest)[None] < lengths_B[:, None]
