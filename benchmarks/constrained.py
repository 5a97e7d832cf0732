"""What a grammar costs: decoding the same tokens with and without it, on the embedded model, in the same run.

    python -m benchmarks.constrained [--models DIR] [--tokens 48] [--runs 5] [--threads N] [--json FILE]

The unconstrained baseline is greedy. A constrained request is greedy too, under a JSON schema whose text is long enough
not to end early; at both batch sizes all requests run at once. Time per token: from the first token of the batch to its
last, over the steps between; runs of both kinds alternate, so that a busy machine slows both alike. Medians. Nobody
guesses tokens: guesses are right more often in some texts than in others, and would hide what the grammar costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.setting import MODELS, THREADS, machine
from core_model.embedded import prepare_default_model
from core_model.engine import Engine
from core_model.generation import Grammar, SamplingParams
from core_model.loading import load_engine
from core_model.tokenizer import Tokenizer

BATCHES = (1, 8)
LIMIT = 1.05
SCHEMA = {
    "type": "object",
    "properties": {
        "category": {"enum": ["delivery", "returns", "billing", "other"]},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 3, "maxLength": 20}, "minItems": 3},
        "summary": {"type": "string", "minLength": 800},
    },
    "required": ["category", "tags", "summary"],
    "additionalProperties": False,
}


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    args = _arguments()
    folder = prepare_default_model(args.models, lambda what, done: print(f"\r{what} {done:4.0%}", end="", flush=True))
    print()
    engine, tokenizer = load_engine(
        folder, device="cpu", max_batch=max(BATCHES), num_threads=args.threads, speculation="off"
    )
    free = SamplingParams(max_tokens=args.tokens, ignore_eos=True)
    kinds = {
        "unconstrained": free,
        "JSON schema": SamplingParams(max_tokens=args.tokens, grammar=Grammar.json_schema(SCHEMA)),
        "regex": SamplingParams(max_tokens=args.tokens, grammar=Grammar("regex", r"([A-Z][a-z ,]{20,60}\. ){20,}")),
    }
    results: dict[str, list[float]] = {f"{kind}, batch {batch}": [] for batch in BATCHES for kind in kinds}
    for run in range(-1, args.runs):  # run -1 warms up, and compiles the grammars
        for batch in BATCHES:
            prompts = [_prompt(tokenizer, 100 * run + i) for i in range(batch)]
            for kind, params in kinds.items():
                measured = _ms_per_step(engine, prompts, params)
                if run >= 0:
                    results[f"{kind}, batch {batch}"].append(measured)
    engine.close()
    report = _report(results, args)
    _print_table(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _prompt(tokenizer: Tokenizer, i: int) -> list[int]:
    question = f"Ticket {i}: my parcel came late and the lamp in it was broken. Write it down as JSON."
    return tokenizer.apply_chat_template([{"role": "user", "content": question}])


def _ms_per_step(engine: Engine, prompts: Sequence[list[int]], params: SamplingParams) -> float:
    """Milliseconds of one step of the whole batch, that is, of one token of each of its requests."""
    streams = [engine.stream(prompt, params) for prompt in prompts]
    for stream in streams:
        next(stream)
    start, num_steps = time.perf_counter(), params.max_tokens - 1
    for _ in range(num_steps):
        for stream in streams:
            if not next(stream).token_ids:
                sys.exit(f"an answer ended early; the comparison needs {params.max_tokens} tokens")
    return 1000 * (time.perf_counter() - start) / num_steps


def _report(results: dict[str, list[float]], args: argparse.Namespace) -> dict[str, Any]:
    medians = {name: statistics.median(values) for name, values in results.items()}
    ratios = {}
    for name, values in results.items():
        baseline = results[f"unconstrained, {name.split(', ')[1]}"]
        ratios[name] = statistics.median(mine / theirs for mine, theirs in zip(values, baseline, strict=True))
    return {
        "machine": machine(),
        "threads": args.threads,
        "new_tokens": args.tokens,
        "runs": args.runs,
        "ms_per_step": medians,
        "ratio": ratios,
        "limit": LIMIT,
        "all": results,
    }


def _print_table(report: dict[str, Any]) -> None:
    print(f"{report['machine']}; {report['threads']} threads")
    print(
        f"{report['new_tokens']} new tokens a request, medians of {report['runs']}; a ratio is the median of runs' own"
    )
    print(f"{'':28}{'ms/step':>10}{'ratio':>8}")
    for name, value in report["ms_per_step"].items():
        ratio = report["ratio"][name]
        print(f"{name:28}{value:10.2f}{ratio:8.3f}{'' if ratio <= report['limit'] else '  over ' + str(LIMIT)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--tokens", type=int, default=48, help="new tokens a request (2 or more)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS, help="default: all cores but one")
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()
    if args.tokens < 2 or args.runs < 1 or args.threads < 1:
        sys.exit("--tokens must be 2 or more; --runs and --threads 1 or more")
    return args


if __name__ == "__main__":
    main()
