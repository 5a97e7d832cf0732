"""A cross-encoder in a local folder as a Reranker: query and passage are read together. Ignores other families.

Nogueira 2019, arXiv:1901.04085. Such weights are not part of the product: this opens those that somebody has, as
sentence-transformers writes them (BertForSequenceClassification with one label, for instance ms-marco-MiniLM).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.bert import BertEncoder, read_checkpoint
from retrieval.documents import Hit
from retrieval.passages import indexed_text

_HEAD = tuple(f"{layer}.{part}" for layer in ("bert.pooler.dense", "classifier") for part in ("weight", "bias"))


class CrossEncoder:
    """Relevance logit of each pair of query and passage, on the CPU; see `retrieval.rerank.Reranker`.

    Args:
        model_dir: Folder with config.json, model.safetensors and tokenizer.json.
        batch_size: Pairs per forward pass.
    Raises:
        ValueError: a file or a weight is missing, or the model is not BERT with one label.
    """

    def __init__(self, model_dir: Path, *, batch_size: int = 16) -> None:
        read = read_checkpoint(model_dir, remedy="Save the model there.")
        config, self._weights = read.config, read.weights
        if config.get("model_type") != "bert":
            raise ValueError(f"model_type: only 'bert' is read here (got {config.get('model_type')!r}).")
        if absent := [name for name in _HEAD if name not in self._weights]:
            raise ValueError(
                f"model.safetensors: {absent[0]} is missing. A model for sequence classification is needed."
            )
        if (labels := self._weights["classifier.weight"].shape[0]) != 1:
            raise ValueError(f"classifier: must have one label, the relevance (got {labels}).")
        bert = {name.removeprefix("bert."): weight for name, weight in self._weights.items()}
        self._encoder = BertEncoder.from_pretrained(bert, config)
        self._tokenizer = read.tokenizer
        self._tokenizer.enable_truncation(config["max_position_embeddings"], strategy="longest_first")
        self._tokenizer.enable_padding(pad_id=config.get("pad_token_id") or 0)
        self._batch_size = batch_size
        try:
            self._score([("a", "b")])
        except KeyError as error:
            raise ValueError(f"model.safetensors: {error.args[0]} is missing.") from error

    def score(self, query: str, hits: Sequence[Hit]) -> NDArray[np.float32]:
        """Logit of each hit, any real number; of texts that are too long the end is not read."""
        pairs = [(query, indexed_text(hit.title, hit.heading, hit.text)) for hit in hits]
        starts = range(0, len(pairs), self._batch_size)
        scores = [self._score(pairs[start : start + self._batch_size]) for start in starts]
        return np.concatenate([np.zeros(0, np.float32), *scores])

    def _score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        import torch
        from torch.nn import functional

        encoded = self._tokenizer.encode_batch(list(pairs))
        ids_BT, types_BT, mask_BT = (
            torch.tensor([getattr(item, name) for item in encoded]) for name in ("ids", "type_ids", "attention_mask")
        )
        w = self._weights
        with torch.inference_mode():
            first_BD = self._encoder.forward(ids_BT, mask_BT.bool(), types_BT)[:, 0]
            pooled_BD = functional.linear(first_BD, w["bert.pooler.dense.weight"], w["bert.pooler.dense.bias"]).tanh()
            logits_B1 = functional.linear(pooled_BD, w["classifier.weight"], w["classifier.bias"])
        scores: NDArray[np.float32] = logits_B1[:, 0].float().numpy()
        return scores
