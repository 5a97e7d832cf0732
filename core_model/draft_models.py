"""Guessing with models: a small decoder of the same vocabulary, or the layer that a checkpoint has for it.

Both guess greedily; `core_model/speculate.py` says why the answer stays what it would have been. Ignores scheduling:
each drafter serves one request, in a cache that it shares with the drafters of others.
Shapes: N new tokens, D model dim, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from core_model.attention import Batch, Segment, view
from core_model.config import ModelConfig
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, DecoderLayer
from core_model.norm import RMSNorm
from core_model.tokenizer import Tokenizer
from core_model.weights import Weights


class DraftModel:
    """A small decoder guesses (arXiv:2211.17192); it reads the prompt, too, when the first guess is due.

    Args:
        decoder: Of the same vocabulary; `check_same_vocabulary` checks that.
        cache: For this decoder. When it is full, there are no guesses for the requests that came last.
        vocab_size: Of the model that it guesses for; models of one vocabulary may be padded differently.
        price: What one of its passes costs, in passes of that model.
    """

    def __init__(self, decoder: Decoder, cache: PagedCache, *, vocab_size: int, price: float = 0.2) -> None:
        self._vocab_size = vocab_size
        self._decoder, self._cache, self.price = decoder, cache, price
        self._slot: int | None = None
        self._in_cache: list[int] = []  # tokens whose entries are in, wrong guesses included
        self._num_sure = 0  # how many of them are no guesses

    def propose(self, token_ids: Sequence[int], limit: int) -> Sequence[int]:
        """As in `Drafter`: `limit` tokens, or none without room in the cache."""
        if self._slot is None and not self._begin(token_ids, limit):
            return ()
        assert self._slot is not None
        num_right = _common(self._in_cache, token_ids, self._num_sure)
        if not self._cache.reserve(self._slot, len(token_ids) + limit):
            return ()
        new, guess = list(token_ids[num_right:]), list[int]()
        for _ in range(limit):
            at = len(token_ids) + len(guess) - len(new)
            ids = torch.tensor(new, device=self._decoder.device)
            hidden_ND = self._decoder(ids, [Segment(len(new), at, self._slot)], self._cache)
            new = [int(self._decoder.logits(hidden_ND[-1:])[:, : self._vocab_size].argmax())]
            guess += new
        self._in_cache, self._num_sure = [*token_ids, *guess[:-1]], len(token_ids)
        return guess

    def observe(self, start: int, hidden_ND: Tensor) -> None:
        """The other model's thoughts are of no use to this one."""

    def end(self) -> None:
        """Give the cache's slot back; the prompt's entries stay for the next request that begins so."""
        if self._slot is not None:
            self._cache.end(self._slot, self._in_cache[: self._num_sure])
            self._slot = None

    def _begin(self, token_ids: Sequence[int], limit: int) -> bool:
        begun = self._cache.begin(token_ids, num_expected=len(token_ids) + limit)
        if begun is None:
            return False
        self._slot, self._num_sure = begun
        self._in_cache = list(token_ids[: self._num_sure])
        return True


def check_same_vocabulary(draft: Tokenizer, target: Tokenizer) -> None:
    """A guess is a token id, so both models must mean the same by it.

    Raises:
        ValueError: the tokenizers have different tokens, or number them differently.
    """
    vocabularies = []
    for tokenizer in (draft, target):
        content = json.loads(tokenizer.to_json())
        added = {token["id"]: token["content"] for token in content["added_tokens"]}
        vocabularies.append((content["model"]["vocab"], added))
    if vocabularies[0] != vocabularies[1]:
        raise ValueError(
            f"draft model: its tokenizer is not the model's own (got {draft.vocab_size} tokens, the model has "
            f"{target.vocab_size}). Use a smaller model of the same family."
        )


class NextTokenHead:
    """The multi-token-prediction layer of DeepSeek-V3 (arXiv:2412.19437, 2.2) and GLM-4-MoE.

    From what the decoder made of token i, and from token i + 1, it guesses token i + 2: one more decoder layer, after
    the decoder's own in the checkpoint. Embedding and output head are the decoder's, as in the paper. Fed with its own
    hidden states it guesses further, and less well.
    """

    def __init__(self, config: ModelConfig, weights: Weights, decoder: Decoder) -> None:
        if config.num_nextn_predict_layers < 1:
            raise ValueError(
                "num_nextn_predict_layers: must be 1 or more to guess with (got 0). Use prompt look-up with this model."
            )
        prefix, eps = f"model.layers.{config.num_hidden_layers}", config.rms_norm_eps
        self._decoder = decoder
        self.enorm = RMSNorm(weights, f"{prefix}.enorm", eps=eps)
        self.hnorm = RMSNorm(weights, f"{prefix}.hnorm", eps=eps)
        self.eh_proj = weights.linear(prefix, "eh_proj")
        self.layer = DecoderLayer(replace(config, layer_windows=()), weights, config.num_hidden_layers)
        self.layer.self_attn.layer_idx = 0  # the only layer of its own cache
        self.norm = RMSNorm(weights, f"{prefix}.shared_head.norm", eps=eps)

    @torch.inference_mode()
    def __call__(
        self, next_ids_N: Tensor, hidden_ND: Tensor, *, segment: Segment, cache: PagedCache | None = None
    ) -> Tensor:
        """Guess on.

        Args:
            next_ids_N: int64, the token after each position of `segment`.
            hidden_ND: What the decoder made of the tokens at these positions (after its last norm), or this layer of
                its own guesses.

        Returns:
            Hidden states (N, D), ready for `logits`: those of the second token after each position.
        """
        decoder = self._decoder
        embedded_ND = decoder.embed_tokens_VD[next_ids_N].to(decoder.dtype)
        x_ND = self.eh_proj(torch.cat((self.enorm(embedded_ND), self.hnorm(hidden_ND)), -1))
        positions = torch.arange(segment.start, segment.start + segment.num_tokens, device=decoder.device)
        views = {0: [view(segment, window=0, num_sinks=0, dtype=decoder.dtype, device=decoder.device)]}
        return self.layer(x_ND, Batch([segment], decoder.rope(positions, decoder.dtype), views, cache))

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """(N, V), fp32."""
        return self._decoder.logits(self.norm(hidden_ND))

    def new_cache(self, config: ModelConfig, *, num_pages: int) -> PagedCache:
        """A cache for this layer alone."""
        one_layer = replace(config, num_hidden_layers=1, layer_windows=())
        return PagedCache(one_layer, num_pages=num_pages, dtype=self._decoder.dtype, device=self._decoder.device)


class NextTokens:
    """Guesses of one request by a `NextTokenHead`.

    The layer reads on from where the decoder began: if the beginning of a prompt came from the cache, the layer never
    sees it, and guesses a little less well.

    Args:
        cache: From `NextTokenHead.new_cache`. When it is full, there are no guesses for the requests that came last.
        price: What the layer and the output head cost, in passes of the whole model, which has dozens of layers.
    """

    def __init__(self, head: NextTokenHead, cache: PagedCache, *, price: float = 0.05) -> None:
        self._head, self._cache, self.price = head, cache, price
        self._slot: int | None = None
        self._first = self._num_seen = 0  # of the request's tokens: those that the layer has read
        self._unread: list[Tensor] = []  # hidden states of the tokens after these

    def observe(self, start: int, hidden_ND: Tensor) -> None:
        """Keep what the decoder made of its tokens, until the next guess."""
        if start != self._num_seen + sum(map(len, self._unread)):  # begun, or begun again after giving its pages up
            self.end()
            self._first = self._num_seen = start
        self._unread.append(hidden_ND)

    def propose(self, token_ids: Sequence[int], limit: int) -> Sequence[int]:
        """As in `Drafter`: `limit` tokens, or none without room in the cache."""
        num_rows = len(token_ids) - self._first + limit
        if self._slot is None:
            begun = self._cache.begin([0], num_expected=num_rows)  # nothing is published, so nothing is found
            self._slot = begun[0] if begun else None
        if self._slot is None or not self._unread or not self._cache.reserve(self._slot, num_rows):
            return ()
        hidden_ND = torch.cat(self._unread)
        next_ids = token_ids[self._num_seen + 1 :]
        assert len(next_ids) == len(hidden_ND)
        guess: list[int] = []
        at = self._num_seen - self._first
        self._num_seen, self._unread = self._num_seen + len(hidden_ND), []
        while True:
            ids = torch.tensor(next_ids, device=hidden_ND.device)
            segment = Segment(len(next_ids), at, self._slot)
            hidden_ND = self._head(ids, hidden_ND, segment=segment, cache=self._cache)[-1:]
            at += len(next_ids)
            guess.append(int(self._head.logits(hidden_ND).argmax()))
            next_ids = guess[-1:]
            if len(guess) == limit:
                return guess

    def end(self) -> None:
        """Give the cache's slot back and forget the request."""
        if self._slot is not None:
            self._cache.end(self._slot, ())
        self._slot, self._unread = None, []


def _common(a: Sequence[int], b: Sequence[int], start: int) -> int:
    """How many first tokens are the same; `start` of them are known to be, and b's last one does not count."""
    n = start
    while n < min(len(a), len(b) - 1) and a[n] == b[n]:
        n += 1
    return n
