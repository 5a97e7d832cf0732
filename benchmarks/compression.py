"""The compression toolkit on the default model: what each step saves and what it costs, beside the dense model.

    python -m benchmarks.compression [--models DIR] [--data FOLDER] [--tokens 1024] [--distil-steps 40] [--quick]

Perplexity and KL on shipped text that counts, importances and distillation did not see; KL from the dense default in
fp32. Speed is that of prompts of 256 tokens in fp32, median over windows, beside the dense model's in the same run.
Zeros of weight pruning cost nothing in a compressed file and save no time here: the CPU multiplies them all the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from benchmarks.shipped_text import processor, read_corpus
from core_model.checkpoint import TensorFiles
from core_model.compress.importance import head_importance, layer_importance
from core_model.compress.prune import keep_experts, keep_heads, keep_layers, keep_shared_experts, prune_weights
from core_model.config import load_config, parse_config
from core_model.embedded import prepare_default_model
from core_model.evaluate import token_logits
from core_model.model import Decoder
from core_model.tokenizer import Tokenizer
from core_model.train.distil import Distillation, distil, make_student
from core_model.train.pretrain import Budget
from core_model.weights import Weights

WINDOW = 256
Checkpoint = tuple[dict[str, Any], dict[str, Tensor]]


@dataclass(frozen=True)
class Judgement:
    """One model on one text.

    Args:
        num_bytes: Of all tensors as stored.
        share_zero: Of all parameters, 0-1.
        mean_kl: KL(reference || this) per token in nats; 0 for the reference itself.
        top1_agreement: How often both prefer the same token, 0-1.
        tokens_per_s: Prompt tokens through the decoder, median over windows.
    """

    num_parameters: int
    num_bytes: int
    share_zero: float
    perplexity: float
    mean_kl: float
    top1_agreement: float
    tokens_per_s: float


class Judge:
    """Holds the reference's answers, so that each compressed model costs one pass."""

    def __init__(self, reference: Decoder, token_ids: Sequence[int], *, window: int = 256) -> None:
        starts = range(0, len(token_ids) - window + 1, window)
        self._windows = [list(token_ids[first : first + window]) for first in starts]
        self._answers = [token_logits(reference, ids).log_softmax(-1) for ids in self._windows]

    def __call__(self, decoder: Decoder, tensors: Mapping[str, Tensor]) -> Judgement:
        """Judge a decoder; `tensors` are its checkpoint, for the sizes."""
        losses, divergences, agreements, seconds = [], [], [], []
        for ids, p_TV in zip(self._windows, self._answers, strict=True):
            start = time.perf_counter()
            q_TV = token_logits(decoder, ids).log_softmax(-1)
            seconds.append(time.perf_counter() - start)
            losses.append(F.nll_loss(q_TV[:-1], torch.tensor(ids[1:], device=q_TV.device)))
            divergences.append(F.kl_div(q_TV, p_TV, log_target=True, reduction="batchmean"))
            agreements.append((q_TV.argmax(-1) == p_TV.argmax(-1)).float().mean())
        sizes = [(w.numel(), w.nbytes, int((w == 0).sum())) for w in tensors.values()]
        num_parameters, num_bytes, num_zero = (sum(column) for column in zip(*sizes, strict=True))
        return Judgement(
            num_parameters=num_parameters,
            num_bytes=num_bytes,
            share_zero=num_zero / num_parameters,
            perplexity=float(torch.stack(losses).mean().exp()),
            mean_kl=max(0.0, float(torch.stack(divergences).mean())),
            top1_agreement=float(torch.stack(agreements).mean()),
            tokens_per_s=len(self._windows[0]) / median(seconds),
        )


def main(argv: list[str] | None = None) -> None:
    """Compress, judge, print a table."""
    args = _arguments(argv)
    torch.set_num_threads(args.threads)
    folder = prepare_default_model(args.models, lambda what, done: None)
    corpus, tokenizer = read_corpus(args.data), Tokenizer.from_folder(folder)
    train = [i for text in corpus.train for i in tokenizer.encode(text)]
    held_out = spread(corpus.held_out, tokenizer, num_windows=max(1, args.tokens // WINDOW))
    moe = _read(folder)
    dense = keep_shared_experts(*moe)
    reference = open_decoder(dense)
    judge = Judge(reference, held_out, window=WINDOW)
    print(f"{corpus.describe()}; judged on {len(held_out)} tokens, prepared on {len(train)}")
    print(f"{os.cpu_count()} cores, {processor()}, torch {torch.__version__}, {args.threads} thread(s), fp32\n")
    print("| model | parameters, M | zero | bf16 file, MB | perplexity | KL, nats | same top token | prompt speed |")
    print("|---|---|---|---|---|---|---|---|")
    base: Judgement | None = None
    for name, checkpoint in variants(moe, dense, reference, train, args):
        found = judge(open_decoder(checkpoint), checkpoint[1])
        base = base or found
        cells = [
            f"{found.num_parameters / 1e6:.0f}",
            f"{found.share_zero:.0%}",
            f"{found.num_parameters * 2 / 1e6:.0f}",
        ]
        cells += [f"{found.perplexity:.2f}", f"{found.mean_kl:.3f}", f"{found.top1_agreement:.0%}"]
        print(f"| {name} | {' | '.join(cells)} | {found.tokens_per_s / base.tokens_per_s:.2f}x |", flush=True)
    print()
    print(fused_against_parts(dense, runs=args.runs))


def spread(texts: Sequence[str], tokenizer: Tokenizer, *, num_windows: int) -> list[int]:
    """The first window of documents that fill one, evenly over all documents: no single style decides."""
    openings = [ids[:WINDOW] for text in texts if len(ids := tokenizer.encode(text)) >= WINDOW]
    step = max(1, len(openings) // num_windows)
    return [i for opening in openings[::step][:num_windows] for i in opening]


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
    budget = Budget(steps=args.distil_steps, batch_size=2, sequence_length=128, learning_rate=1e-4, weight_decay=0.0)
    start = time.monotonic()
    distil(student, reference, train, budget=budget, how=Distillation(teacher_weight=1.0))
    print(f"distilled in {time.monotonic() - start:.0f} s", file=sys.stderr)
    yield f"24 of 30 layers, distilled {args.distil_steps} steps", student.checkpoint()


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
    import json

    load_config(folder)
    return json.loads((folder / "config.json").read_text(encoding="utf-8")), dict(TensorFiles(folder))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path(tempfile.gettempdir()) / "trivium-benchmark-models")
    parser.add_argument("--data", type=Path, help="a folder of further .md and .txt files")
    parser.add_argument("--tokens", type=int, default=1024, help="held-out tokens to judge on (256 or more)")
    parser.add_argument("--distil-steps", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
