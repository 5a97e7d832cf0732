"""BERT's encoder (Devlin 2018, arXiv:1810.04805), forward only, from upstream weights. Ignores training and heads.

Written out because importing transformers' BertModel takes seconds of start-up and these lines take none; the tests
hold it against transformers' own class. MPNet is read as well (`mpnet`).
Shapes: B batch, T tokens, D width, H heads, d width of a head, F feed-forward.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval import mpnet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenizers import Tokenizer
    from torch import Tensor

WEIGHTS = "model.safetensors"
FILES = ("config.json", WEIGHTS, "tokenizer.json")


@dataclass(frozen=True)
class Checkpoint:
    """What a folder of `FILES` holds; the tokenizer neither cuts nor pads until it is told to."""

    config: dict[str, Any]
    weights: dict[str, Tensor]
    tokenizer: Tokenizer


def read_checkpoint(folder: Path, *, remedy: str) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ValueError: a file is missing or damaged; `remedy` says what to do then.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise ValueError(f"model_dir: {', '.join(missing)} is missing from {folder.name}. {remedy}")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = json.loads((folder / "config.json").read_text("utf-8"))
    try:
        weights = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"model_dir: {WEIGHTS} of {folder.name} is damaged ({error}). {remedy}") from error
    return Checkpoint(config, weights, tokenizer)


def weights_sha256(folder: Path) -> str:
    """Of a checkpoint's weights, hexadecimal.

    Raises:
        ValueError: there are none.
    """
    try:
        with (folder / WEIGHTS).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"model_dir: no readable {WEIGHTS} in {folder.name!r} ({type(error).__name__}).") from error


@dataclass(frozen=True)
class BertEncoder:
    """The encoder over upstream weights; names are the checkpoint's."""

    weights: Mapping[str, Tensor]
    num_layers: int
    num_heads: int
    eps: float

    @classmethod
    def from_pretrained(cls, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> BertEncoder:
        """Check that the configuration is one that `forward` computes.

        Raises:
            ValueError: the activation or the position embedding is another one.
        """
        for key, ours in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
            if config.get(key, ours) != ours:
                raise ValueError(f"{key}: only {ours!r} is computed here (got {config[key]!r}).")
        return cls(weights, config["num_hidden_layers"], config["num_attention_heads"], config["layer_norm_eps"])

    def forward(self, ids_BT: Tensor, mask_BT: Tensor, types_BT: Tensor | None = None) -> Tensor:
        """Hidden states of the last layer.

        Args:
            ids_BT: Token ids, int64.
            mask_BT: True where there is a token, False where there is padding.
            types_BT: 1 where the second text of a pair stands, else 0; one text only if None.
        Returns:
            (B, T, D), fp32.
        """
        return self.run_layers(self.embed(ids_BT, types_BT), mask_BT, range(self.num_layers))

    def embed(self, ids_BT: Tensor, types_BT: Tensor | None = None) -> Tensor:
        """What the first layer reads, (B, T, D)."""
        from torch.nn import functional

        w = self.weights
        x_BTD = functional.embedding(ids_BT, w["embeddings.word_embeddings.weight"])
        x_BTD = x_BTD + w["embeddings.position_embeddings.weight"][: ids_BT.shape[1]]
        x_BTD = x_BTD + w["embeddings.token_type_embeddings.weight"][0 if types_BT is None else types_BT]
        return self._norm(x_BTD, "embeddings.LayerNorm")

    def run_layers(self, x_BTD: Tensor, mask_BT: Tensor, layers: range) -> Tensor:
        """Hidden states after `layers`, of those before them."""
        from torch.nn import functional

        mask_BHTT = self._mask(mask_BT)
        for layer in layers:
            at = f"encoder.layer.{layer}"
            a_BTD = self._attend(x_BTD, mask_BHTT, f"{at}.attention.self")
            a_BTD = self._linear(a_BTD, f"{at}.attention.output.dense")
            x_BTD = self._norm(x_BTD + a_BTD, f"{at}.attention.output.LayerNorm")
            f_BTF = functional.gelu(self._linear(x_BTD, f"{at}.intermediate.dense"))
            x_BTD = self._norm(x_BTD + self._linear(f_BTF, f"{at}.output.dense"), f"{at}.output.LayerNorm")
        return x_BTD

    def _mask(self, mask_BT: Tensor) -> Tensor:
        """Which key counts for which query, (B, H, T, T) or 1 for H and T: true, false, or what the scores gain."""
        mask_BHTT = mask_BT[:, None, None, :]
        if mpnet.BIAS not in self.weights:
            return mask_BHTT
        bias_HTT = mpnet.distance_bias(self.weights[mpnet.BIAS], mask_BT.shape[1])
        return bias_HTT[None].masked_fill(~mask_BHTT, float("-inf"))

    def _attend(self, x_BTD: Tensor, mask_BHTT: Tensor, at: str) -> Tensor:
        from torch.nn import functional

        q, k, v = (
            self._linear(x_BTD, f"{at}.{name}").view(*x_BTD.shape[:2], self.num_heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        a_BHTd = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask_BHTT)
        return a_BHTd.transpose(1, 2).flatten(-2)

    def _linear(self, x: Tensor, at: str) -> Tensor:
        from torch.nn import functional

        return functional.linear(x, self.weights[f"{at}.weight"], self.weights[f"{at}.bias"])

    def _norm(self, x: Tensor, at: str) -> Tensor:
        from torch.nn import functional

        return functional.layer_norm(
            x, x.shape[-1:], self.weights[f"{at}.weight"], self.weights[f"{at}.bias"], self.eps
        )
