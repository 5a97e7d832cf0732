"""First token of a prompt whose beginning other requests have computed already, beside the same prompt cold.

    python -m benchmarks.prefix_cache [--models DIR] [--prefix 1000] [--runs 5] [--threads N] [--kv same|int8|fp8]

The default model in int8. Cold and cached runs alternate; every cold run has a prefix never seen before, and the cached
run asks another question after that same prefix. Medians. Also the speed of the tokens that follow: reused pages must
not make them slower.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from benchmarks.setting import MODELS, THREADS, machine
from core_model.embedded import prepare_default_model
from core_model.generation import SamplingParams, TextEngine
from core_model.loading import load_engine
from core_model.tokenizer import Tokenizer

NUM_TOKENS = 33


def main() -> None:
    """Measure and print a table."""
    args = _arguments()
    folder = prepare_default_model(args.models, lambda what, done: None)
    engine, tokenizer = load_engine(folder, device="cpu", num_threads=args.threads, kv_precision=args.kv)
    rows: dict[str, list[tuple[float, float]]] = {"cold": [], "cached": []}
    with engine:
        for i in range(-1, args.runs):  # run -1 warms up
            prefix = _prefix(tokenizer, i, args.prefix)
            for kind, measured in rows.items():
                result = _measure(engine, [*prefix, *tokenizer.encode(f" The {kind} question: what follows?")])
                if i >= 0:
                    measured.append(result)
    _print_table(rows, args)


def _prefix(tokenizer: Tokenizer, i: int, num_tokens: int) -> list[int]:
    text = f"Document {i + 100}. " + "The keeper of the lighthouse writes down the wind, the tide and the ships. " * 100
    ids = tokenizer.encode(text)
    assert len(ids) >= num_tokens, "the text is long enough for any prefix that the arguments allow"
    return ids[:num_tokens]


def _measure(engine: TextEngine, prompt: list[int]) -> tuple[float, float]:
    """First token, s; then tokens/s."""
    start = time.perf_counter()
    times = []
    for chunk in engine.stream(prompt, SamplingParams(max_tokens=NUM_TOKENS)):
        times += [time.perf_counter() - start] * len(chunk.token_ids)
    return times[0], (len(times) - 1) / (times[-1] - times[0])


def _print_table(rows: dict[str, list[tuple[float, float]]], args: argparse.Namespace) -> None:
    print(f"{machine()}; {args.threads} threads")
    print(f"prefix {args.prefix} tokens, KV cache {args.kv}, medians of {args.runs}")
    print(f"{'':10}{'first token s':>14}{'faster':>8}{'tokens/s':>10}")
    cold = statistics.median(first for first, _ in rows["cold"])
    for kind, measured in rows.items():
        first, rate = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"{kind:10}{first:14.4f}{cold / first:7.1f}x{rate:10.1f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--prefix", type=int, default=1000, choices=range(100, 1501), metavar="100..1500")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--kv", choices=["same", "int8", "fp8"], default="same")
    parser.add_argument("--threads", type=int, default=THREADS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
