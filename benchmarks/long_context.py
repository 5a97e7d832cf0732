"""What windows and hashed attention save on long texts, and what they cost: time and perplexity beside full attention.

    python -m benchmarks.long_context [--models DIR] [--text FILE] [--runs 5] [--lengths 4096 ...] [--only time]

Time: the attention of one layer of the default model over a whole prompt, medians of runs that alternate. Windows run
in chunks of 512 new tokens, as an engine feeds them. Quality: perplexity of the default model, fp32, on the last half
of `--quality-tokens` tokens of a text, and the relative error of the last hidden states there. Text: this repository's
own documentation, unless told.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from benchmarks.setting import MODELS, machine
from core_model.attention import Segment, attend, view
from core_model.checkpoint import TensorFiles
from core_model.config import LSH, ModelConfig, load_config
from core_model.embedded import prepare_default_model
from core_model.lsh_attention import attend_lsh
from core_model.model import Decoder
from core_model.tokenizer import Tokenizer
from core_model.weights import Weights

CHUNK, SINKS = 512, 4
WINDOWS = (512, 1024)
HASHES = {f"near + {rounds} hash rounds": LSH(rounds=rounds, sinks=SINKS) for rounds in (0, 1, 2)}
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def main() -> None:
    """Measure and print both tables."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    folder = prepare_default_model(args.models, lambda what, done: None)
    config = load_config(folder)
    print(f"{machine()}, {args.threads} thread(s), fp32")
    if args.only != "quality":
        _time(config, args)
    if args.only != "time":
        _quality(folder, config, args)


def _time(config: ModelConfig, args: argparse.Namespace) -> None:
    ways: dict[str, Attend] = {"full": lambda q, k, v: attend(q, k, v, mask_NS=None)}
    ways |= {f"window {w} + {SINKS} sinks": _windowed(w) for w in WINDOWS}
    ways |= {name: _hashed(lsh) for name, lsh in HASHES.items()}
    print(f"\none layer's attention over a prompt, s (ratio to full), medians of {args.runs}")
    print(f"{'tokens':26}" + "".join(f"{n:>18,}" for n in args.lengths))
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in args.lengths] for name in ways}
    for i, num_tokens in enumerate(args.lengths):
        q = torch.randn(num_tokens, config.num_attention_heads, config.head_dim)
        k, v = torch.randn(2, config.num_key_value_heads, num_tokens, config.head_dim)
        for run in range(-1, args.runs):  # run -1 warms up
            for name, way in ways.items():
                start = time.perf_counter()
                way(q, k, v)
                if run >= 0:
                    seconds[name][i].append(time.perf_counter() - start)
    full = [statistics.median(runs) for runs in seconds["full"]]
    for name, rows in seconds.items():
        medians = [statistics.median(runs) for runs in rows]
        print(f"{name:26}" + "".join(f"{s:11.3f} ({s / f:4.2f})" for s, f in zip(medians, full, strict=True)))


def _windowed(window: int) -> Attend:
    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts, device = [], q.device
        for start in range(0, len(q), CHUNK):
            end = min(start + CHUNK, len(q))
            seen = view(Segment(end - start, start), window=window, num_sinks=SINKS, dtype=q.dtype, device=device)
            parts.append(attend(q[start:end], seen.of(k[:, :end]), seen.of(v[:, :end]), mask_NS=seen.mask_NS))
        return torch.cat(parts)

    return run


def _hashed(lsh: LSH) -> Attend:
    return lambda q, k, v: attend_lsh(q, k, v, lsh=lsh)


def _quality(folder: Path, config: ModelConfig, args: argparse.Namespace) -> None:
    weights = Weights(TensorFiles(folder), precision="fp32")
    ids = torch.tensor(Tokenizer.from_folder(folder).encode(_text(args.text))[: args.quality_tokens])
    judged = slice(len(ids) // 2, len(ids) - 1)  # those with a long context before them
    configs = {"full": config}
    configs |= {f"window {w} + {SINKS} sinks": config.with_window(w, sinks=SINKS) for w in WINDOWS}
    configs |= {name: replace(config, lsh=lsh) for name, lsh in HASHES.items()}
    print(f"\nthe whole model on {len(ids):,} tokens of text")
    print(f"{'':26}{'perplexity':>12}{'change':>10}{'hidden-state error':>20}{'prompt s':>10}")
    exact, base = torch.empty(0), 0.0
    for name, option in configs.items():
        decoder = Decoder(option, weights)
        start = time.perf_counter()
        hidden_TD = decoder(ids, [Segment(len(ids))])[judged]
        seconds = time.perf_counter() - start
        losses = [
            F.cross_entropy(decoder.logits(hidden), target, reduction="none")
            for hidden, target in zip(
                torch.split(hidden_TD, 256), torch.split(ids[judged.start + 1 :], 256), strict=True
            )
        ]
        perplexity = float(torch.cat(losses).mean().exp())
        if name == "full":
            exact, base = hidden_TD, perplexity
        error = float((hidden_TD - exact).norm() / exact.norm())
        print(f"{name:26}{perplexity:12.2f}{perplexity / base - 1:+10.1%}{error:20.3f}{seconds:10.1f}", flush=True)


def _text(path: Path | None) -> str:
    if path:
        return path.read_text(encoding="utf-8")
    root = Path(__file__).parent.parent
    return "\n\n".join(p.read_text(encoding="utf-8") for p in [root / "README.md", *sorted(root.glob("docs/**/*.md"))])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--text", type=Path, help="a text file")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 8192, 16384, 32768])
    parser.add_argument("--only", choices=["time", "quality"], help="one of the two tables")
    parser.add_argument("--quality-tokens", type=int, default=4096)
    return parser.parse_args()


if __name__ == "__main__":
    main()
