"""One reading of a text by an encoder for several tasks, each with its own low-rank change of the upper layers.

Ignores training and what the vectors mean. The lower layers run once; the upper ones carry a row per task (Hu 2021,
arXiv:2106.09685, without merging: merged weights would need a pass each).
Shapes: N texts, T tokens, D width, K tasks, R rank, I and O the input and output width of a linear map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval.bert import BertEncoder
from retrieval.embed import read_encoder

if TYPE_CHECKING:
    from torch import Tensor

MAX_TOKENS = 128  # of a message; what a customer wants stands in the first hundred words
ADAPTED = (
    *("attention.self.query", "attention.self.key", "attention.self.value"),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
)

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Delta:
    """What a task adds to the encoder's linear maps: x -> x down' up'.

    Attributes:
        first_layer: The first changed layer, 0 or more; those below it are the encoder's own.
        down: (R, I) by name of the map, as in "encoder.layer.3.output.dense".
        up: (O, R), same names.
    """

    first_layer: int
    down: Mapping[str, Tensor]
    up: Mapping[str, Tensor]

    def none(self) -> Delta:
        """A delta of the same form that changes nothing."""
        return Delta(self.first_layer, self.down, {name: tensor * 0 for name, tensor in self.up.items()})

    def tensors(self) -> dict[str, Tensor]:
        """fp16, by the names that `from_tensors` reads."""
        down = {f"{name}.down": tensor.half().contiguous() for name, tensor in self.down.items()}
        return down | {f"{name}.up": tensor.half().contiguous() for name, tensor in self.up.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Delta:
        """Read what `tensors` gave; other names are left alone.

        Raises:
            ValueError: there is no delta, or half of one.
        """
        down = {name[: -len(".down")]: t.float() for name, t in tensors.items() if name.endswith(".down")}
        up = {name[: -len(".up")]: t.float() for name, t in tensors.items() if name.endswith(".up")}
        if not down or down.keys() != up.keys():
            raise ValueError(f"delta: a down and an up for each map is needed (got {len(down)} and {len(up)}).")
        return cls(min(int(name.split(".")[2]) for name in down), down, up)


class DeltaEncoder(BertEncoder):
    """The encoder whose batch is K equal blocks, block k under delta k; without deltas it is `BertEncoder`.

    Its `weights` hold, beside the checkpoint's names, "<map>.down" (K, R, I) and "<map>.up" (K, O, R).
    """

    def _linear(self, x: Tensor, at: str) -> Tensor:
        y = super()._linear(x, at)
        if (down_KRI := self.weights.get(f"{at}.down")) is None:
            return y
        rows_KXI = x.reshape(len(down_KRI), -1, x.shape[-1])
        low_KXR = rows_KXI @ down_KRI.transpose(1, 2)
        return y + (low_KXR @ self.weights[f"{at}.up"].transpose(1, 2)).view_as(y)


class TextReader:
    """An encoder's tokenizer and weights: texts to token ids, and ids to states. Safe from many threads.

    Args:
        model_dir: Folder of a BERT or MPNet, see `retrieval.bert`; MiniLM's, the package's own, if None.
    Raises:
        ValueError: the folder lacks a file, or MiniLM's package is not installed.
    """

    def __init__(self, model_dir: Path | None = None) -> None:
        read = read_encoder(model_dir)
        self.config, self.weights, self._tokenizer = read.config, read.weights, read.tokenizer
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, at least two, at most `MAX_TOKENS`."""
        return [item.ids for item in self._tokenizer.encode_batch(list(texts))]

    def encoder(self, deltas: Sequence[Delta] = ()) -> DeltaEncoder:
        """An encoder with these deltas, which must all start at one layer and be of one rank."""
        import torch

        added = {}
        for name in deltas[0].down if deltas else ():
            added[f"{name}.down"] = torch.stack([delta.down[name] for delta in deltas])
            added[f"{name}.up"] = torch.stack([delta.up[name] for delta in deltas])
        return DeltaEncoder.from_pretrained({**self.weights, **added}, self.config)  # type: ignore[return-value]


class TaskEncoder:
    """Unit vectors of a text for every task, in one pass.

    Args:
        reader: Tokenizer and weights.
        deltas: By task; None reads with the encoder as it is.
    Raises:
        ValueError: no task, or deltas of several first layers or ranks.
    """

    def __init__(self, reader: TextReader, deltas: Mapping[str, Delta | None]) -> None:
        changed = [delta for delta in deltas.values() if delta is not None]
        kinds = {(d.first_layer, *{t.shape[0] for t in d.down.values()}) for d in changed}
        if not deltas or len(kinds) > 1:
            raise ValueError(f"deltas: of one first layer and rank, to share a pass (got {sorted(kinds)}).")
        self._reader = reader
        # tasks without a delta share a row, the last; where no task has one, the first layer does not matter
        self._first_layer = changed[0].first_layer if changed else 0
        row = count()
        self._row = {name: len(changed) if delta is None else next(row) for name, delta in deltas.items()}
        if None in deltas.values() and changed:
            changed.append(changed[0].none())
        self._num_rows = max(1, len(changed))
        self._encoder = reader.encoder(changed)

    def encode(self, texts: Sequence[str]) -> dict[str, Vectors]:
        """Each task's vectors, (N, D) fp32 of length 1; texts are one batch: a turn's messages, not a corpus."""
        import torch

        ids_NT, mask_NT = pad(self._reader.tokenize(texts))
        with torch.inference_mode():
            x_NTD = self._encoder.run_layers(self._encoder.embed(ids_NT), mask_NT, range(self._first_layer))
            x_NTD, mask_NT = x_NTD.repeat(self._num_rows, 1, 1), mask_NT.repeat(self._num_rows, 1)
            x_NTD = self._encoder.run_layers(x_NTD, mask_NT, range(self._first_layer, self._encoder.num_layers))
            vectors_KND = unit_means(x_NTD, mask_NT).view(self._num_rows, len(texts), -1).numpy()
        return {name: vectors_KND[row] for name, row in self._row.items()}


def pad(ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids (N, T) filled up with 0, and the mask that is True where there is a token."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    lengths_N = torch.tensor([len(row) for row in ids])
    ids_NT = pad_sequence([torch.tensor(row) for row in ids], batch_first=True)
    return ids_NT, torch.arange(ids_NT.shape[1]) < lengths_N[:, None]


def unit_means(x_NTD: Tensor, mask_NT: Tensor) -> Tensor:
    """Mean over a text's tokens, scaled to length 1: (N, D)."""
    from torch.nn import functional

    return functional.normalize((x_NTD * mask_NT[..., None]).sum(1) / mask_NT.sum(1, keepdim=True), dim=-1)
