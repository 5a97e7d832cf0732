"""The router study: balance, dropped tokens and quality of each routing strategy, same data, same budget.

    python -m benchmarks.routing [--quick] [--data FOLDER] [--steps 120] [--seeds 3]      # about six CPU minutes

Small byte-level models on the project's own text. Loss is in nats per byte on documents that training did not see;
intervals are 95 % percentile bootstraps over seeds and held-out windows, paired for differences. Balance is that of the
held-out text, mean over layers and seeds; dropped pairs are those of training, since serving has no capacity.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.setting import processor
from benchmarks.shipped_text import read_corpus, to_bytes
from core_model.expert_stats import LoadStats, describe_load
from core_model.train.language_model import LanguageModel, Strategy
from core_model.train.pretrain import Budget, evaluate, pretrain

DENSE: dict[str, Any] = {  # as wide as the shared expert and two routed ones: the same work per token
    "model_type": "llama",
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
MOE: dict[str, Any] = {
    **DENSE,
    "model_type": "glm4_moe",
    "partial_rotary_factor": 1.0,
    "n_routed_experts": 16,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 0,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.0,
}
GROUPED = {**MOE, "n_group": 4, "topk_group": 2}
DEFAULT = "sigmoid, selection bias (default)"
BIASED = Strategy(bias_rate=0.01)
STRATEGIES: dict[str, tuple[dict[str, Any], Strategy]] = {
    "dense, same active size": (DENSE, Strategy()),
    "softmax": (MOE, Strategy(scoring_func="softmax")),
    "softmax, auxiliary loss": (MOE, Strategy(scoring_func="softmax", aux_loss=0.01)),
    "softmax, auxiliary and z-loss": (MOE, Strategy(scoring_func="softmax", aux_loss=0.01, z_loss=1e-3)),
    "sigmoid": (MOE, Strategy()),
    DEFAULT: (MOE, BIASED),
    "… and sequence loss": (MOE, replace(BIASED, sequence_loss=1e-3)),
    "… in 2 of 4 groups": (GROUPED, BIASED),
    "hierarchical, 2 of 4 groups, aux. loss": (GROUPED, Strategy("softmax", "hierarchical", aux_loss=0.01)),
    "sigmoid, capacity 1.25": (MOE, Strategy(capacity_factor=1.25)),
    "sigmoid, capacity 1.25 following load": (MOE, Strategy(capacity_factor=1.25, capacity="following")),
    "sigmoid, capacity 1.25, rerouted": (MOE, Strategy(capacity_factor=1.25, reroute=True)),
    "sigmoid, bias, capacity 1.25": (MOE, replace(BIASED, capacity_factor=1.25)),
    "expert choice (not causal) *": (MOE, Strategy(router="expert_choice")),
}


@dataclass(frozen=True)
class Row:
    """One strategy: loss of each seed and held-out window, (S, W); balance of every layer and seed."""

    loss_SW: np.ndarray
    balance: tuple[LoadStats, ...]
    dropped_share: float


def measure(name: str, train: list[int], held_out: list[int], *, budget: Budget, num_seeds: int) -> Row:
    """Train and evaluate one strategy for each seed."""
    raw, strategy = STRATEGIES[name]
    runs, balance, dropped = [], [], []
    for seed in range(num_seeds):
        torch.manual_seed(seed)
        model = LanguageModel(raw, strategy)
        log = pretrain(model, train, budget=replace(budget, seed=seed))
        found = evaluate(model, held_out, window=budget.sequence_length)
        runs.append(found.loss_W.numpy())
        balance += [describe_load(counts) for counts in found.counts.values()]
        dropped.append(log.dropped_share)
    return Row(np.stack(runs), tuple(balance), float(np.mean(dropped)))


def interval(values_SW: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean, over seeds and windows both."""
    generator, (num_seeds, num_windows) = np.random.default_rng(0), values_SW.shape
    seeds = generator.integers(num_seeds, size=(draws, num_seeds, 1))
    windows = generator.integers(num_windows, size=(draws, 1, num_windows))
    low, high = np.percentile(values_SW[seeds, windows].mean((1, 2)), [2.5, 97.5])
    return float(low), float(high)


def table(rows: dict[str, Row]) -> str:
    """Markdown; differences are to the default, below 0 is better."""
    lines = [
        "| strategy | loss, nats/byte [95 %] | sd of seeds | loss - default [95 %] | entropy | Gini | CV | max/mean "
        "| dead | dropped |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        low, high = interval(row.loss_SW)
        cells = [f"{row.loss_SW.mean():.3f} [{low:.3f}, {high:.3f}]", f"{row.loss_SW.mean(1).std():.3f}"]
        gap_SW = row.loss_SW - rows[DEFAULT].loss_SW  # same seed: same batches in the same order
        low, high = interval(gap_SW)
        cells.append("" if name == DEFAULT else f"{gap_SW.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
        if row.balance:
            for figure in ("entropy", "gini", "cv", "max_over_mean", "num_dead"):
                mean = np.mean([getattr(stats, figure) for stats in row.balance])
                cells.append(f"{mean:.1f}" if figure == "num_dead" else f"{mean:.2f}")
            cells.append(f"{row.dropped_share:.1%}" if STRATEGIES[name][1].capacity_factor else "none")
        else:
            cells += [""] * 6
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Train all, print the table."""
    args = _arguments(argv)
    corpus = read_corpus(args.data)
    train, held_out = to_bytes(corpus.train), to_bytes(corpus.held_out)
    budget = Budget(steps=args.steps, batch_size=8, sequence_length=128, learning_rate=4e-3)
    if args.quick:
        budget, held_out = replace(budget, steps=2, batch_size=2, sequence_length=32), held_out[:400]
    torch.set_num_threads(args.threads)
    rows = {}
    start = time.process_time()
    for name in STRATEGIES:
        rows[name] = measure(name, train, held_out, budget=budget, num_seeds=1 if args.quick else args.seeds)
        print(f"{name}: {time.process_time() - start:.0f} CPU s so far", file=sys.stderr)
    print(f"{corpus.describe()}; {budget.steps} steps of {budget.batch_size} x {budget.sequence_length} bytes")
    print(f"{os.cpu_count()} cores, {processor()}, torch {torch.__version__}, {args.threads} thread(s)\n")
    print(table(rows))
    print("\n* its held-out loss looks at later bytes of the window, so it is no language model's loss.")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps of each strategy: does it run at all")
    parser.add_argument("--data", type=Path, help="a folder of further .md and .txt files")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
