"""Which part of a model a process holds, and the sums that make the parts one. Ignores what runs, and who decides it.

Tensor parallelism (Megatron-LM, arXiv:1909.08053): attention is split by heads, networks by hidden units, so that what
each process adds to the residual stream is a share of a sum: two sums a layer. The head is split by vocabulary. Routed
experts are split between the processes, each of which routes every token and computes its own experts' part of the same
sum. Embeddings, norms and routers are everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.config import ModelConfig
from core_model.quantized_weight import QuantizedWeight, Weight

_HEADS = re.compile(r"self_attn\.(q_proj|q_b_proj|kv_b_proj)\.(weight|bias)$|self_attn\.sinks$")
_KV_HEADS = re.compile(r"self_attn\.(k_proj|v_proj)\.(weight|bias)$")
_UNITS = re.compile(r"mlp\.(shared_experts\.)?(gate_proj|up_proj)\.(weight|bias)$")
_INPUTS = re.compile(r"(self_attn\.o_proj|mlp\.(shared_experts\.)?down_proj)\.weight$")
_ADDED_ONCE = re.compile(r"(self_attn\.o_proj|mlp\.(shared_experts\.)?down_proj)\.bias$")
_STACKED = re.compile(r"\.experts\.(gate_up_proj|down_proj)(_bias)?$")
_WORDS = ("lm_head.weight", "model.embed_tokens.weight")


@dataclass(frozen=True)
class Share:
    """The part of process `rank` among `size`; the usual one is all."""

    rank: int = 0
    size: int = 1

    def experts(self, num_experts: int) -> range:
        """The routed experts that are here."""
        return range(self.rank * num_experts // self.size, (self.rank + 1) * num_experts // self.size)

    def config(self, config: ModelConfig) -> ModelConfig:
        """The decoder of this process: as the model's, with fewer heads.

        Raises:
            ValueError: heads that cannot be shared evenly, or a norm over all of them.
        """
        if self.size == 1:
            return config
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
        if heads % self.size or (kv_heads % self.size and self.size % kv_heads):
            raise ValueError(
                f"processes: must divide {heads} heads, and divide or be a multiple of {kv_heads} key-value heads "
                f"(got {self.size}). Start another number of them."
            )
        if config.use_qk_norm and not config.qk_norm_per_head:
            raise ValueError(
                f"processes: {config.model_type} norms all heads at once, so they cannot be split (got {self.size}). "
                "Start one."
            )
        kv_heads = heads // self.size if config.is_latent else max(1, kv_heads // self.size)
        return replace(config, num_attention_heads=heads // self.size, num_key_value_heads=kv_heads)

    def part(self, name: str, weight: Weight, config: ModelConfig) -> Weight:
        """What this process keeps of a weight; `config` is the whole model's.

        Raises:
            ValueError: groups of quantized inputs that lie in two shares.
        """
        if self.size == 1:
            return weight
        if _HEADS.search(name):
            return _rows(weight, self._span(weight.shape[0], config.num_attention_heads))
        if _KV_HEADS.search(name):
            return _rows(weight, self._span(weight.shape[0], config.num_key_value_heads))
        if _UNITS.search(name):
            return _rows(weight, self._span(weight.shape[0], weight.shape[0]))
        if name in _WORDS:
            return _rows(weight, self._words(weight.shape[0]))
        if _INPUTS.search(name):
            return self._inputs(name, weight)
        if isinstance(weight, Tensor) and _ADDED_ONCE.search(name):
            return weight if self.rank == 0 else torch.zeros_like(weight)
        if isinstance(weight, Tensor) and _STACKED.search(name):
            here = self.experts(len(weight))
            return weight[here.start : here.stop]
        return weight

    def sum_(self, x: Tensor) -> Tensor:
        """The sum of all processes' x, in its place."""
        if self.size > 1:
            dist.all_reduce(x)
        return x

    def joined(self, logits_TV: Tensor, vocab_size: int) -> Tensor:
        """All words' logits, from each process's own."""
        if self.size == 1:
            return logits_TV
        most = len(self._words(vocab_size, rank=0))
        mine = F.pad(logits_TV, (0, most - logits_TV.shape[1])).contiguous()
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        return torch.cat(parts, -1)[:, :vocab_size]

    def _span(self, num_rows: int, num_heads: int) -> range:
        """The rows of this process's heads; a head may be of several processes."""
        rows, first = num_rows // num_heads, self.rank * num_heads // self.size
        end = max(first + 1, (self.rank + 1) * num_heads // self.size)
        return range(first * rows, end * rows)

    def _words(self, vocab_size: int, *, rank: int | None = None) -> range:
        """As many for each process but the last ones, so that parts of one length can be gathered."""
        each, at = -(-vocab_size // self.size), self.rank if rank is None else rank
        return range(min(at * each, vocab_size), min((at + 1) * each, vocab_size))

    def _inputs(self, name: str, weight: Weight) -> Weight:
        num_inputs = weight.shape[1]
        here = self._span(num_inputs, num_inputs)
        if isinstance(weight, Tensor):
            return weight[:, here.start : here.stop]
        groups = range(0, 1)
        if weight.scale_OG.shape[1] > 1:
            if here.start % weight.group_size or here.stop % weight.group_size:
                raise ValueError(
                    f"processes: {name} has groups of {weight.group_size} inputs, which {self.size} processes would "
                    "split. Start fewer, or give other weights."
                )
            groups = range(here.start // weight.group_size, here.stop // weight.group_size)
        scale_OG, offset_OG = (part[:, groups.start : groups.stop] for part in (weight.scale_OG, weight.offset_OG))
        return QuantizedWeight(weight.codes_OI[:, here.start : here.stop], scale_OG, offset_OG, weight.bits)


WHOLE = Share()


def _rows(weight: Weight, here: range) -> Weight:
    if isinstance(weight, Tensor):
        return weight[here.start : here.stop]
    codes_OI, scale_OG, offset_OG = (
        part[here.start : here.stop] for part in (weight.codes_OI, weight.scale_OG, weight.offset_OG)
    )
    return QuantizedWeight(codes_OI, scale_OG, offset_OG, weight.bits)
