"""Speed of the default model, ours beside transformers' `generate` on the same weights in the same run.

    python -m benchmarks.decode [--models DIR] [--tokens 64] [--runs 5] [--threads N] [--json FILE]

First token: prompt in, first token out. Tokens/s: the tokens after the first. Greedy, one request, medians; runs of all
programs alternate, so that a busy machine slows all alike. Each run has a new prompt, so no cached prefix helps ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.setting import MODELS, THREADS, machine
from core_model.embedded import prepare_default_model
from core_model.engine import Engine
from core_model.generation import SamplingParams
from core_model.loading import load_engine
from core_model.tokenizer import Tokenizer
from core_model.weights import Precision

Run = Callable[[list[int], int], tuple[float, float]]  # prompt, tokens -> first token s, tokens/s
OURS: tuple[Precision, ...] = ("int8", "bf16", "fp32")
THEIRS = {"transformers bf16": torch.bfloat16, "transformers fp32": torch.float32}


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    args = _arguments()
    folder = prepare_default_model(args.models, lambda what, done: print(f"\r{what} {done:4.0%}", end="", flush=True))
    print()
    engines = {
        f"ours {precision}": load_engine(folder, device="cpu", precision=precision, num_threads=args.threads)
        for precision in OURS
    }
    programs: dict[str, Run] = {name: _ours(engine) for name, (engine, _) in engines.items()}
    programs |= {name: _theirs(folder, dtype) for name, dtype in THEIRS.items()}
    tokenizer = next(iter(engines.values()))[1]

    results: dict[str, dict[str, list[float]]] = {name: {"first_token_s": [], "tokens_per_s": []} for name in programs}
    for i in range(-1, args.runs):  # run -1 warms up
        prompt = _prompt(tokenizer, i)
        for name, run in programs.items():
            first, rate = run(prompt, args.tokens)
            if i >= 0:
                results[name]["first_token_s"].append(first)
                results[name]["tokens_per_s"].append(rate)
    for engine, _ in engines.values():
        engine.close()
    report = _report(results, args, prompt_tokens=len(_prompt(tokenizer, 0)))
    _print_table(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _prompt(tokenizer: Tokenizer, i: int) -> list[int]:
    rules = "Answer in full sentences, keep to the subject, and give an example for every claim. " * 8
    question = "Write a long story about a lighthouse keeper and the sea."
    messages = [{"role": "system", "content": f"{i + 10} {rules}"}, {"role": "user", "content": question}]
    return tokenizer.apply_chat_template(messages)


def _ours(engine: Engine) -> Run:
    def run(prompt: list[int], num_tokens: int) -> tuple[float, float]:
        start = time.perf_counter()
        times = [time.perf_counter() - start for _ in _tokens(engine, prompt, num_tokens)]
        return times[0], (len(times) - 1) / (times[-1] - times[0])

    return run


def _tokens(engine: Engine, prompt: list[int], num_tokens: int) -> Iterator[int]:
    for chunk in engine.stream(prompt, SamplingParams(max_tokens=num_tokens)):
        yield from chunk.token_ids


def _theirs(folder: Path, dtype: torch.dtype) -> Run:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()

    @torch.inference_mode()
    def generate(ids: torch.Tensor, num_tokens: int) -> float:
        start = time.perf_counter()
        mask = torch.ones_like(ids)
        model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=num_tokens,
            min_new_tokens=num_tokens,
            do_sample=False,
            pad_token_id=2,
        )
        return time.perf_counter() - start

    def run(prompt: list[int], num_tokens: int) -> tuple[float, float]:
        ids = torch.tensor([prompt])
        first = generate(ids, 1)
        return first, (num_tokens - 1) / (generate(ids, num_tokens) - first)

    return run


def _report(
    results: dict[str, dict[str, list[float]]], args: argparse.Namespace, *, prompt_tokens: int
) -> dict[str, Any]:
    rows = {
        name: {key: statistics.median(values) for key, values in measured.items()} for name, measured in results.items()
    }
    best = max(row["tokens_per_s"] for name, row in rows.items() if name in THEIRS)
    fastest = min(row["first_token_s"] for name, row in rows.items() if name in THEIRS)
    for row in rows.values():
        row["rate_vs_best_transformers"] = row["tokens_per_s"] / best
        row["first_token_vs_best_transformers"] = row["first_token_s"] / fastest
    return {
        "machine": machine(),
        "threads": args.threads,
        "prompt_tokens": prompt_tokens,
        "new_tokens": args.tokens,
        "runs": args.runs,
        "medians": rows,
        "all": results,
    }


def _print_table(report: dict[str, Any]) -> None:
    print(f"{report['machine']}; {report['threads']} threads")
    print(f"prompt {report['prompt_tokens']} tokens, {report['new_tokens']} new, medians of {report['runs']}")
    print(f"{'':20}{'first token s':>14}{'ratio':>8}{'tokens/s':>10}{'ratio':>8}")
    for name, row in report["medians"].items():
        first, rate = row["first_token_s"], row["tokens_per_s"]
        ratios = row["first_token_vs_best_transformers"], row["rate_vs_best_transformers"]
        print(f"{name:20}{first:14.3f}{ratios[0]:8.2f}{rate:10.1f}{ratios[1]:8.2f}")
    print("ratio: to the better of the two transformers rows")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--tokens", type=int, default=64, help="new tokens a run (2 or more)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS, help="default: all cores but one")
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()
    if args.tokens < 2 or args.runs < 1 or args.threads < 1:
        sys.exit("--tokens must be 2 or more; --runs and --threads 1 or more")
    return args


if __name__ == "__main__":
    main()
