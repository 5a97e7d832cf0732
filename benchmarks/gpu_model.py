"""A model of DeepSeek-V2-Lite's shape with random weights, made on the device. Shared by the parts of `benchmarks.gpu`.

Speed does not depend on what weights are, but for the router: random ones spread tokens evenly over the experts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from core_model.config import ModelConfig, parse_config
from core_model.engine import Engine
from core_model.formats.layers import Shape
from core_model.kernels import on_gpu
from core_model.kv_cache import PAGE_SIZE, PagedCache
from core_model.layout import expected_tensors
from core_model.model import Decoder
from core_model.runner import ModelRunner
from core_model.weights import Precision, Weights

V2_LITE: dict[str, Any] = {
    "model_type": "deepseek_v2",
    "vocab_size": 102_400,
    "hidden_size": 2048,
    "intermediate_size": 10_944,
    "moe_intermediate_size": 1408,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "n_shared_experts": 2,
    "n_routed_experts": 64,
    "num_experts_per_tok": 6,
    "n_group": 1,
    "topk_group": 1,
    "topk_method": "greedy",
    "scoring_func": "softmax",
    "norm_topk_prob": False,
    "routed_scaling_factor": 1.0,
    "first_k_dense_replace": 1,
    "q_lora_rank": None,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
}
_DENSE = re.compile(r"norm|gate\.weight|kv_b_proj|embed_tokens")  # whatever the precision
_INT4_BYTES = 0.5 + 4 / 32  # a code, and two bf16 numbers for each group of 32


class RandomTensors(Mapping[str, Tensor]):
    """Every tensor of a model, made when asked for."""

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        self._shapes, self._device = expected_tensors(config), device

    def __getitem__(self, name: str) -> Tensor:
        shape = self._shapes[name]
        tensor = torch.randn(shape, device=self._device, dtype=torch.bfloat16)
        return tensor.abs_() if len(shape) == 1 else tensor.mul_(shape[-1] ** -0.5)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


class NoText:
    """Stands for a tokenizer: what tokens say does not matter here."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """A letter for each token."""
        return "a" * len(token_ids)


def make_engine(config: dict[str, Any], precision: Precision, *, device: torch.device, max_batch: int) -> Engine:
    """A started engine over random weights, with kernels where they run."""
    parsed = parse_config(config)
    decoder = Decoder(parsed, Weights(RandomTensors(parsed, device), precision=precision, device=device))
    num_pages = max_batch * -(-1024 // PAGE_SIZE)
    cache = PagedCache(parsed, num_pages=num_pages, dtype=decoder.dtype, device=device)
    if not on_gpu.why_not(device):
        on_gpu.use_kernels(decoder, cache, max_batch=max_batch, max_context=1024)
    runner = ModelRunner(decoder, cache)
    engine = Engine(
        runner, NoText(), model_version="random", eos_ids=frozenset(), max_context=1024, max_batch=max_batch
    )
    return engine.start()


def bytes_per_token(config: dict[str, Any], precision: Precision) -> int:
    """Weights that one token at batch 1 reads: all but other experts and other words' embeddings."""
    parsed = parse_config(config)
    share = parsed.num_experts_per_tok / parsed.n_routed_experts
    return round(sum(_bytes(name, shape, precision, share) for name, shape in expected_tensors(parsed).items()))


def _bytes(name: str, shape: Shape, precision: Precision, share: float) -> float:
    if name.startswith("model.embed_tokens"):
        return 0
    a_weight = 2.0
    if name.endswith("mlp.gate.weight"):
        a_weight = 4  # the router's, in fp32
    elif precision == "int4" and not _DENSE.search(name):
        a_weight = 1 if name == "lm_head.weight" else _INT4_BYTES
    return prod(shape) * a_weight * (share if ".experts." in name else 1)
