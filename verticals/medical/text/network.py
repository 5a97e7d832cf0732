"""Words of a sentence to scores of their tags: an encoder under a low-rank delta, spelling, order; not what tags mean.

The encoder's lower layers are as they are, so that training computes them once; the upper ones carry a low-rank change
(Hu 2021, arXiv:2106.09685), the only part of the encoder that is ours to ship. It knows no case and cuts drugs' names
into pieces, so each word's characters are read as well (Ma and Hovy 2016, arXiv:1603.01354); a recurrent layer
and a chain of tags (Lafferty 2001) see the neighbours.
Shapes: B sentences, T word pieces, W words, C characters of a word, D width of the encoder, R rank, K tags.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from retrieval.bert import BertEncoder
from retrieval.embed import read_encoder

FIRST_LAYER, RANK = 2, 16
MAX_PIECES = 384  # of a sentence; the encoder has 512 places
_ADAPTED = (
    *("attention.self.query", "attention.self.key", "attention.self.value"),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
)
_NUM_CHARS, _CHARS, _CHAR_DIM, _SPELLING, _HIDDEN = 128, 20, 32, 96, 112


@dataclass(frozen=True)
class Words:
    """A batch: the pieces' ids, to which words they belong, and the words' characters.

    Attributes:
        ids_BT: 0 where there is padding.
        mask_BT: True where there is a piece.
        share_BWT: Each word's weights on its pieces; a row sums to 1, or to 0 for padding.
        chars_BWC: Codes below 128; 1 for any other character, 0 for none.
        lengths_B: Words of each sentence.
    """

    ids_BT: Tensor
    mask_BT: Tensor
    share_BWT: Tensor
    chars_BWC: Tensor
    lengths_B: Tensor


class WordReader:
    """An encoder's word pieces and its lower layers.

    Args:
        encoder_dir: Of a BERT or MPNet; the packaged MiniLM if None.
    Raises:
        ValueError: the folder is none of an encoder, or MiniLM's package is not installed.
    """

    def __init__(self, encoder_dir: Path | None = None) -> None:
        read = read_encoder(encoder_dir)
        self.config, self.weights = read.config, read.weights
        self._tokenizer = read.tokenizer
        self._tokenizer.enable_truncation(MAX_PIECES)
        self._encoder = BertEncoder.from_pretrained(read.weights, read.config)

    def batch(self, sentences: Sequence[Sequence[str]]) -> Words:
        """The words of sentences, at least one each; one beyond `MAX_PIECES` has no piece and is read by spelling."""
        encoded = self._tokenizer.encode_batch([list(words) for words in sentences], is_pretokenized=True)
        most_T, most_W = max(len(item.ids) for item in encoded), max(map(len, sentences))
        ids_BT = torch.zeros(len(sentences), most_T, dtype=torch.long)
        share_BWT = torch.zeros(len(sentences), most_W, most_T)
        chars_BWC = torch.zeros(len(sentences), most_W, _CHARS, dtype=torch.long)
        for b, (item, words) in enumerate(zip(encoded, sentences, strict=True)):
            ids_BT[b, : len(item.ids)] = torch.tensor(item.ids)
            for t, word in enumerate(item.word_ids):
                if word is not None:
                    share_BWT[b, word, t] = 1
            for w, text in enumerate(words):
                codes = [ord(c) if 1 < ord(c) < _NUM_CHARS else 1 for c in text[:_CHARS]]
                chars_BWC[b, w, : len(codes)] = torch.tensor(codes)
        share_BWT /= share_BWT.sum(2, keepdim=True).clamp(min=1)
        mask_BT = torch.arange(most_T) < torch.tensor([len(item.ids) for item in encoded])[:, None]
        return Words(ids_BT, mask_BT, share_BWT, chars_BWC, torch.tensor([len(words) for words in sentences]))

    def lower(self, words: Words) -> Tensor:
        """States (B, T, D) before the first changed layer."""
        with torch.no_grad():
            return self._encoder.run_layers(self._encoder.embed(words.ids_BT), words.mask_BT, range(FIRST_LAYER))


class _Adapted(BertEncoder):
    """The encoder whose weights hold "<map>.down" (R, I) and "<map>.up" (O, R) beside the checkpoint's names."""

    def _linear(self, x: Tensor, at: str) -> Tensor:
        y = super()._linear(x, at)
        if (down_RI := self.weights.get(f"{at}.down")) is None:
            return y
        return y + functional.linear(functional.linear(x, down_RI), self.weights[f"{at}.up"])


class TagNetwork(nn.Module):
    """Scores of each word's tags, and of one tag after another.

    Args:
        reader: Holds the encoder's own weights, which are no parameters here.
        num_tags: K.
    """

    def __init__(self, reader: WordReader, num_tags: int, *, dropout: float = 0.3) -> None:
        super().__init__()
        self._reader = reader
        dim = reader.config["hidden_size"]
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for layer in range(FIRST_LAYER, reader.config["num_hidden_layers"]):
            for part in _ADAPTED:
                wide, narrow = reader.weights[f"encoder.layer.{layer}.{part}.weight"].shape
                key = f"encoder.layer.{layer}.{part}".replace(".", "/")  # a ParameterDict's keys hold no dots
                self.down[key] = nn.Parameter(torch.randn(RANK, narrow) / math.sqrt(narrow))
                self.up[key] = nn.Parameter(torch.zeros(wide, RANK))
        self.chars = nn.Embedding(_NUM_CHARS, _CHAR_DIM, padding_idx=0)
        self.spell = nn.Conv1d(_CHAR_DIM, _SPELLING, 3, padding=1)
        self.order = nn.LSTM(dim + _SPELLING, _HIDDEN, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * _HIDDEN, num_tags)
        self.after_KK = nn.Parameter(torch.zeros(num_tags, num_tags))
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Words, lower_BTD: Tensor) -> Tensor:
        """Scores (B, W, K) of each word's tags by itself."""
        meaning_BWD = words.share_BWT @ self._encoder().run_layers(lower_BTD, words.mask_BT, self._layers())
        x_BWX = self.dropout(torch.cat([meaning_BWD, self._spelling(words.chars_BWC)], -1))
        packed = pack_padded_sequence(x_BWX, words.lengths_B, batch_first=True, enforce_sorted=False)
        hidden_BWH, _ = pad_packed_sequence(self.order(packed)[0], batch_first=True)
        scores: Tensor = self.score(self.dropout(hidden_BWH))
        return scores

    def _layers(self) -> range:
        return range(FIRST_LAYER, self._reader.config["num_hidden_layers"])

    def _encoder(self) -> BertEncoder:
        added = {f"{name}.down".replace("/", "."): p for name, p in self.down.items()}
        added |= {f"{name}.up".replace("/", "."): p for name, p in self.up.items()}
        return _Adapted.from_pretrained({**self._reader.weights, **added}, self._reader.config)

    def _spelling(self, chars_BWC: Tensor) -> Tensor:
        batch, most, chars = chars_BWC.shape
        x_NEC = self.chars(chars_BWC.view(-1, chars)).transpose(1, 2)
        return torch.relu(self.spell(x_NEC)).amax(2).view(batch, most, -1)

    def loss(self, scores_BWK: Tensor, tags_BW: Tensor, lengths_B: Tensor) -> Tensor:
        """Mean over words of minus the log probability of the right chain (a sentence's, shared among its words)."""
        held_BW = torch.arange(tags_BW.shape[1]) < lengths_B[:, None]
        right_BW = scores_BWK.gather(2, tags_BW[..., None])[..., 0] * held_BW
        steps_BW = self.after_KK[tags_BW[:, :-1], tags_BW[:, 1:]] * held_BW[:, 1:]
        alpha_BK = scores_BWK[:, 0]
        for w in range(1, scores_BWK.shape[1]):
            longer_BK = torch.logsumexp(alpha_BK[:, :, None] + self.after_KK, 1) + scores_BWK[:, w]
            alpha_BK = torch.where(held_BW[:, w, None], longer_BK, alpha_BK)
        total: Tensor = torch.logsumexp(alpha_BK, 1).sum() - right_BW.sum() - steps_BW.sum()
        return total / lengths_B.sum()

    def best(self, scores_BWK: Tensor, lengths_B: Tensor, allowed_KK: Tensor) -> list[list[int]]:
        """The most probable chain of each sentence that `allowed_KK` allows (Viterbi 1967)."""
        after_KK = self.after_KK.masked_fill(~allowed_KK, -math.inf)
        chains = []
        for scores_WK, length in zip(scores_BWK, lengths_B.tolist(), strict=True):
            alpha_K, came = scores_WK[0], []
            for w in range(1, length):
                best = (alpha_K[:, None] + after_KK).max(0)
                came.append(best.indices)
                alpha_K = best.values + scores_WK[w]
            chain = [int(alpha_K.argmax())]
            for back_K in reversed(came):
                chain.append(int(back_K[chain[-1]]))
            chains.append(chain[::-1])
        return chains

    def tensors(self) -> dict[str, Tensor]:
        """All that training changes, fp16."""
        return {name: tensor.detach().half().contiguous() for name, tensor in self.state_dict().items()}

    def load(self, tensors: Mapping[str, Any]) -> None:
        """Read what `tensors` gave."""
        self.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
