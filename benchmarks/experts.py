"""One layer of routed experts on the native kernels, beside transformers' eager loop and `torch._grouped_mm`.

    python -m benchmarks.experts [--threads N] [--runs 5]

Milliseconds a call, medians of turns; a turn is as many calls as make 32 tokens, each with tokens of its own, so that
other experts are due. With one thread it is processor time, which others on the machine hardly change. Ours computes in
4 bits what the others do in bf16, with the router and an attention of one head of 32 dimensions besides, since the
kernels run whole layers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.setting import machine
from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.config import parse_config
from core_model.kernels.library import open_kernels
from core_model.kernels.step import Step
from core_model.kv_cache import PAGE_SIZE, PagedCache
from core_model.layout import expected_tensors
from core_model.model import Decoder, Segment
from core_model.quantized_weight import Weight
from core_model.weights import Weights

SHAPES = ((576, 16, 256, 2), (2048, 64, 1408, 6))  # dim, experts, expert dim, experts a token
TOKENS = (1, 32, 512)

Layer = Callable[[Tensor], Tensor]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{machine()}; {args.threads} threads; ms a call, medians of {args.runs}")
    for shape in SHAPES:
        layers = {"ours": _ours(*shape, threads=args.threads)}
        layers |= {kind: _theirs(*shape, kind=kind) for kind in ("eager", "grouped_mm")}
        for num_tokens in TOKENS:
            clock = time.process_time if args.threads == 1 else time.perf_counter
            calls = torch.randn(max(1, 32 // num_tokens), num_tokens, shape[0])
            found = _measure(layers, calls, runs=args.runs, clock=clock)
            told = "".join(f"{name} {ms:9.2f}{ms / found['ours']:7.1f}x  " for name, ms in found.items())
            print(f"{shape!s:24}{num_tokens:5} tokens   {told}")


@torch.inference_mode()
def _measure(layers: dict[str, Layer], x_CTD: Tensor, *, runs: int, clock: Callable[[], float]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in layers}
    for run in range(-1, runs):  # run -1 warms up
        for name, layer in layers.items():
            time.sleep(0.1)  # until the threads of the one before no longer spin
            layer(x_CTD[0])
            start = clock()
            for x_TD in x_CTD:
                layer(x_TD)
            if run >= 0:
                times[name].append(1000 * (clock() - start) / len(x_CTD))
    return {name: statistics.median(found) for name, found in times.items()}


def _sizes(dim: int, experts: int, expert_dim: int, top_k: int) -> dict[str, Any]:
    return {
        "hidden_size": dim,
        "moe_intermediate_size": expert_dim,
        "num_experts": experts,
        "num_experts_per_tok": top_k,
        "norm_topk_prob": True,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "num_hidden_layers": 1,
        "vocab_size": 32,
        "intermediate_size": 32,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    }


def _ours(dim: int, experts: int, expert_dim: int, top_k: int, *, threads: int) -> Layer:
    raw = {"model_type": "qwen3_moe", **_sizes(dim, experts, expert_dim, top_k), "rms_norm_eps": 1e-6}
    config, weights = parse_config({**raw, "rope_theta": 10_000.0, "decoder_sparse_step": 1}), dict[str, Weight]()
    torch.manual_seed(0)
    for name, shape in expected_tensors(config).items():
        value = torch.randn(shape) / shape[-1] ** 0.5
        is_few = len(shape) == 2 and "embed" not in name and not name.endswith("mlp.gate.weight")
        weights[name] = round_to_nearest(value, Scheme(4, 32, "free")) if is_few else value
    kernels = open_kernels(num_threads=threads)
    decoder = Decoder(config, Weights(weights, precision="int4", kernels=kernels))
    step = Step(decoder)
    num_pages = 2 * max(TOKENS) // PAGE_SIZE
    cache = PagedCache(config, num_pages=num_pages, dtype=decoder.dtype, device=decoder.device, precision="fp16")
    slots = {num: begun[0] for num in TOKENS if (begun := cache.begin([0] * num, root=bytes([num % 255])))}
    return lambda x_TD: step(x_TD.clone(), [Segment(len(x_TD), 0, slots[len(x_TD)])], cache)


def _theirs(dim: int, experts: int, expert_dim: int, top_k: int, *, kind: str) -> Layer:
    from transformers import Qwen3MoeConfig
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

    config = Qwen3MoeConfig(**_sizes(dim, experts, expert_dim, top_k), experts_implementation=kind)
    block: Any = Qwen3MoeSparseMoeBlock(config)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=dim**-0.5)
    block = block.to(torch.bfloat16).eval()
    return lambda x_TD: block(x_TD.to(torch.bfloat16).unsqueeze(0))


if __name__ == "__main__":
    main()
