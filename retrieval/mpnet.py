"""What MPNet (Song 2020, arXiv:2004.09297) is beside BERT: other names, and a bias by how far two tokens are apart.

Ignores the layers, which are BERT's. Shapes: T tokens, D width, H heads, K buckets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BIAS = "encoder.relative_attention_bias.weight"  # (K, H)
_FIRST_PLACE = 2  # of a text's tokens; before it are padding's and an unused one
_FARTHEST = 128  # tokens apart, from which on distances share a bucket
_NAMES = {
    "attention.attn.q.": "attention.self.query.",
    "attention.attn.k.": "attention.self.key.",
    "attention.attn.v.": "attention.self.value.",
    "attention.attn.o.": "attention.output.dense.",
    "attention.LayerNorm.": "attention.output.LayerNorm.",
}


def as_bert(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under BERT's names: one kind of text, and places counted from 0; `BIAS` stays."""
    renamed = {}
    for name, tensor in weights.items():
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        renamed[name] = tensor
    places_TD = renamed["embeddings.position_embeddings.weight"][_FIRST_PLACE:]
    renamed["embeddings.position_embeddings.weight"] = places_TD
    return renamed | {"embeddings.token_type_embeddings.weight": places_TD.new_zeros(1, places_TD.shape[1])}


def distance_bias(bias_KH: Tensor, num_tokens: int) -> Tensor:
    """What each head adds to the score of a key for a query, (H, T, T).

    Half of the buckets are of keys before the query, half of those of single distances (Raffel 2020, arXiv:1910.10683).
    """
    import torch

    half = len(bias_KH) // 2
    single = half // 2
    places_T = torch.arange(num_tokens)
    before_TT = places_T[:, None] - places_T[None, :]  # how far the key stands before the query
    apart_TT = before_TT.abs()
    far_TT = torch.log(apart_TT.clamp(min=1) / single) / math.log(_FARTHEST / single) * (half - single)
    bucket_TT = torch.where(apart_TT < single, apart_TT, (single + far_TT.long()).clamp(max=half - 1))
    return bias_KH[bucket_TT + half * (before_TT < 0)].permute(2, 0, 1)
