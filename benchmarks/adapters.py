"""Cost of LoRA adapters: eight mixed in one batch, one for all, beside the base model in the same engine and run.

    python -m benchmarks.adapters [--models DIR] [--tokens 32] [--runs 5] [--rank 8] [--threads N]

Eight requests at once. Adapters have random weights: on queries and values, which is PEFT's default for Llama and its
kin, and on all linear layers of attention and (shared) feed-forwards, with five times as many weights. Decode: tokens/s
from all eight first tokens to the last. Prefill: seconds until all eight have a first token, prompts of 128 tokens that
share nothing. int8, greedy; cases alternate, so that a busy machine slows all alike.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.setting import MODELS, THREADS, machine
from core_model.config import load_config
from core_model.embedded import prepare_default_model
from core_model.engine import Engine
from core_model.generation import RequestOptions, SamplingParams
from core_model.loading import load_engine

NUM_REQUESTS, PROMPT_TOKENS = 8, 128
PARTS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CASES: dict[str, list[str | None]] = {
    "base": [None] * NUM_REQUESTS,
    "8 mixed": [f"qv-{i}" for i in range(NUM_REQUESTS)],
    "1 for all": ["qv-0"] * NUM_REQUESTS,
    "8 mixed, all layers": [f"all-{i}" for i in range(NUM_REQUESTS)],
    "1 for all, all layers": ["all-0"] * NUM_REQUESTS,
}


def main() -> None:
    """Measure and print a table."""
    args = _arguments()
    folder = prepare_default_model(args.models, lambda what, done: None)
    engine, _ = load_engine(folder, device="cpu", precision="int8", max_batch=NUM_REQUESTS, num_threads=args.threads)
    with tempfile.TemporaryDirectory() as made, engine:
        for i in range(NUM_REQUESTS):
            for kind, parts in (("qv", ("q_proj", "v_proj")), ("all", PARTS)):
                name = f"{kind}-{i}"
                adapter = _write_adapter(Path(made) / name, folder, parts=parts, rank=args.rank, seed=i)
                engine.load_adapter(name, adapter)
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
        for run in range(-1, args.runs):  # run -1 warms up
            for name, adapters in CASES.items():
                measured = _measure(engine, adapters, num_tokens=args.tokens)
                if run >= 0:
                    figures[name].append(measured)
    medians = {
        name: [statistics.median(values) for values in zip(*runs, strict=True)] for name, runs in figures.items()
    }
    base_prefill, base_rate = medians["base"]
    print(f"{machine()}; {args.threads} threads; rank {args.rank}, medians of {args.runs}")
    print(f"{'':24}{'prefill s':>12}{'speed':>8}{'tokens/s':>12}{'speed':>8}")
    for name, (prefill, rate) in medians.items():
        print(f"{name:24}{prefill:12.2f}{base_prefill / prefill:8.2f}{rate:12.1f}{rate / base_rate:8.2f}")
    print("speed: of the base")


def _measure(engine: Engine, adapters: list[str | None], *, num_tokens: int) -> tuple[float, float]:
    """Seconds to the last first token, and tokens/s after it."""
    params = SamplingParams(max_tokens=num_tokens, ignore_eos=True)
    start = time.perf_counter()
    streams = []
    for adapter in adapters:
        prompt = [random.randrange(1000, 40_000) for _ in range(PROMPT_TOKENS)]
        streams.append(engine.stream(prompt, params, options=RequestOptions(adapter=adapter)))
    for stream in streams:
        next(stream)
    first, before = time.perf_counter(), engine.stats().generated_tokens_total
    for stream in streams:
        for _ in stream:
            pass
    generated = engine.stats().generated_tokens_total - before
    return first - start, generated / (time.perf_counter() - first)


def _write_adapter(folder: Path, model: Path, *, parts: Sequence[str], rank: int, seed: int) -> Path:
    config, draw = load_config(model), torch.Generator().manual_seed(seed)
    dim, queries = config.hidden_size, config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    hidden = config.moe_intermediate_size * config.n_shared_experts
    feed_forward = {"gate_proj": (dim, hidden), "up_proj": (dim, hidden), "down_proj": (hidden, dim)}
    attention = {"q_proj": (dim, queries), "k_proj": (dim, keys), "v_proj": (dim, keys), "o_proj": (queries, dim)}
    sizes = {f"self_attn.{name}": size for name, size in attention.items() if name in parts}
    sizes |= {f"mlp.shared_experts.{name}": size for name, size in feed_forward.items() if name in parts}
    tensors = {}
    for i in range(config.num_hidden_layers):
        for name, (inputs, outputs) in sizes.items():
            layer = f"base_model.model.model.layers.{i}.{name}"
            tensors[f"{layer}.lora_A.weight"] = torch.randn(rank, inputs, generator=draw) * 0.02
            tensors[f"{layer}.lora_B.weight"] = torch.randn(outputs, rank, generator=draw) * 0.02
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    options = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": list(parts), "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(options), encoding="utf-8")
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--tokens", type=int, default=32, help="new tokens of each request")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--threads", type=int, default=THREADS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
