"""The compression toolkit on the default model: what each step saves and what it costs, beside the dense model.

    python -m benchmarks.compression [--models DIR] [--data FOLDER] [--tokens 1024] [--distil-steps 40] [--quick]

Perplexity and KL on shipped text that counts, importances and distillation did not see; KL from the dense default in
fp32, the first row. Speed is that of a prompt of 256 tokens and of 8 tokens after it, medians, in the same run.
Zeros of weight pruning cost nothing in a compressed file and save no time here: the CPU multiplies them all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from benchmarks.setting import MODELS, processor
from benchmarks.shipped_text import read_corpus
from core_model.checkpoint import TensorFiles
from core_model.compress.coverage import linear_names
from core_model.compress.importance import head_importance, layer_importance
from core_model.compress.prune import keep_experts, keep_heads, keep_layers, keep_shared_experts, prune_weights
from core_model.compress.report import Judge, Report, measure_speed, stored_bytes
from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.config import load_config, parse_config
from core_model.embedded import prepare_default_model
from core_model.evaluate import token_logits
from core_model.model import Decoder
from core_model.quantized_weight import QuantizedWeight, Weight
from core_model.tokenizer import Tokenizer
from core_model.train.distil import Distillation, distil, make_student
from core_model.train.language_model import LanguageModel
from core_model.train.pretrain import Budget
from core_model.train.qat import finish_qat, prepare_qat
from core_model.weights import Weights

WINDOW = 256
INT4 = Scheme(4, 64)  # symmetric: what every server reads
Checkpoint = tuple[dict[str, Any], dict[str, Any]]


def main(argv: list[str] | None = None) -> None:
    """Compress, judge, print a table."""
    args = _arguments(argv)
    torch.set_num_threads(args.threads)
    folder = prepare_default_model(args.models, lambda what, done: None)
    corpus, tokenizer = read_corpus(args.data), Tokenizer.from_folder(folder)
    train = [i for text in corpus.train for i in tokenizer.encode(text)]
    windows = spread(corpus.held_out, tokenizer, num_windows=max(1, args.tokens // WINDOW))
    moe = _read(folder)
    dense = keep_shared_experts(*moe)
    reference = open_decoder(dense)
    judge = Judge(reference, windows)
    rows = []
    for name, checkpoint in variants(moe, dense, reference, train, args):
        decoder = open_decoder(checkpoint)
        speed = measure_speed(decoder, windows[0], num_new=8, runs=args.runs)
        row = judge.judge(_describe(name, checkpoint[1]), decoder, num_bytes=stored_bytes(checkpoint[1]), speed=speed)
        print(f"{row.name}: perplexity {row.perplexity:.2f}", file=sys.stderr)
        rows.append(row)
    machine = f"{os.cpu_count()} cores, {processor()}, torch {torch.__version__}, {args.threads} thread(s), fp32"
    text = f"{corpus.describe()}, prepared on {len(train)} tokens"
    print(Report(folder.name, text, judge.num_tokens, machine, tuple(rows)).to_markdown())
    print()
    print(fused_against_parts(dense, runs=args.runs))


def _describe(name: str, tensors: Mapping[str, Weight]) -> str:
    dense = [w.dequantize() if isinstance(w, QuantizedWeight) else w for w in tensors.values()]
    total = sum(w.numel() for w in dense)
    zero = sum(int((w == 0).sum()) for w in dense) / total
    return f"{name} ({total / 1e6:.0f} M parameters, {zero:.0%} zero)"


def spread(texts: Sequence[str], tokenizer: Tokenizer, *, num_windows: int) -> list[list[int]]:
    """The first window of documents that fill one, evenly over all documents: no single style decides."""
    openings = [ids[:WINDOW] for text in texts if len(ids := tokenizer.encode(text)) >= WINDOW]
    step = max(1, len(openings) // num_windows)
    return openings[::step][:num_windows]


def variants(
    moe: Checkpoint, dense: Checkpoint, reference: Decoder, train: list[int], args: argparse.Namespace
) -> Iterator[tuple[str, Checkpoint]]:
    """Each compressed model, made when it is asked for."""
    sample = train[:256]
    yield "dense default", dense
    yield "default, 16 experts", moe
    counting = open_decoder(moe)
    token_logits(counting, sample)
    yield "8 of 16 experts, by use", keep_experts(*moe, counting.expert_counts(), num_kept=8)
    if not args.quick:
        for sparsity in (0.2, 0.4, 0.6):
            yield f"{sparsity:.0%} of weights zero", (dense[0], prune_weights(dense[1], sparsity=sparsity))
        yield "2:4 sparse", (dense[0], prune_weights(dense[1], pattern="2:4"))
        heads = head_importance(reference, dense[1], sample)
        yield "6 of 9 heads, by output", keep_heads(*dense, heads, heads_per_group=2)
        yield "2 of 3 key-value heads", keep_heads(*dense, heads, num_key_value_heads=2)
    influence = layer_importance(reference, sample)
    for num_layers in (24,) if args.quick else (27, 24, 18):
        yield f"{num_layers} of 30 layers, by influence", keep_layers(*dense, _best(influence, num_layers))
    student = make_student(*keep_layers(*dense, _best(influence, 24)))
    _distil(student, reference, train, steps=args.distil_steps, learning_rate=1e-4)
    yield f"24 of 30 layers, distilled {args.distil_steps} steps", _as_stored(*student.checkpoint())
    linear = set(linear_names(dense[1]))
    yield "int4, rounded", (dense[0], {n: round_to_nearest(w, INT4) if n in linear else w for n, w in dense[1].items()})
    student = make_student(*dense)
    prepare_qat(student, INT4, wanted=linear.__contains__)
    _distil(student, reference, train, steps=args.distil_steps, learning_rate=3e-5)
    codes = finish_qat(student)
    yield (
        f"int4, distilled {args.distil_steps} steps through rounding",
        _as_stored(dense[0], {**student.checkpoint()[1], **codes}),
    )


def _as_stored(config: dict[str, Any], tensors: Mapping[str, Weight]) -> Checkpoint:
    """A student was trained in fp32; beside the others it is stored in bf16."""
    return config, {n: w.bfloat16() if isinstance(w, Tensor) else w for n, w in tensors.items()}


def _distil(student: LanguageModel, teacher: Decoder, train: list[int], *, steps: int, learning_rate: float) -> None:
    start = time.monotonic()
    budget = Budget(steps, batch_size=2, sequence_length=128, learning_rate=learning_rate, weight_decay=0.0)
    distil(student, teacher, train, budget=budget, how=Distillation(teacher_weight=1.0))
    print(f"distilled in {time.monotonic() - start:.0f} s", file=sys.stderr)


def fused_against_parts(dense: Checkpoint, *, runs: int) -> str:
    """q, k, v and gate, up of one layer as loaded (fused) and as stored (apart): largest difference, and time."""
    prefix = "model.layers.0."
    lines = ["| fused at load | rows | fused / parts, time | largest difference |", "|---|---|---|---|"]
    for parts in (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("mlp.gate_proj", "mlp.up_proj")):
        apart = [dense[1][f"{prefix}{part}.weight"].float() for part in parts]
        fused = torch.cat(apart)
        for rows in (1, 256):
            x = torch.randn(rows, fused.shape[1], generator=torch.Generator().manual_seed(0))
            one, many = (_seconds(x, weights, runs=runs) for weights in ([fused], apart))
            gap = (F.linear(x, fused) - torch.cat([F.linear(x, w) for w in apart], -1)).abs().max()
            name = " + ".join(part.split(".")[1] for part in parts)
            lines.append(f"| {name} | {rows} | {one / many:.2f} | {float(gap):.1g} |")
    return "\n".join(lines)


def _seconds(x: Tensor, weights: list[Tensor], *, runs: int) -> float:
    """Median of `runs` timings of 20 calls."""
    found = []
    for _ in range(runs + 1):  # the first warms up
        start = time.perf_counter()
        for _ in range(20):
            for weight in weights:
                F.linear(x, weight)
        found.append(time.perf_counter() - start)
    return sorted(found[1:])[runs // 2]


def _best(influence: dict[int, float], num_layers: int) -> list[int]:
    return sorted(sorted(influence, key=lambda i: influence[i], reverse=True)[:num_layers])


def open_decoder(checkpoint: Checkpoint) -> Decoder:
    """In fp32."""
    return Decoder(parse_config(checkpoint[0]), Weights(checkpoint[1], precision="fp32"))


def _read(folder: Path) -> Checkpoint:
    load_config(folder)
    return json.loads((folder / "config.json").read_text(encoding="utf-8")), dict(TensorFiles(folder))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--data", type=Path, help="a folder of further .md and .txt files")
    parser.add_argument("--tokens", type=int, default=1024, help="held-out tokens to judge on (256 or more)")
    parser.add_argument("--distil-steps", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
