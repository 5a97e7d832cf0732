"""What each precision costs in quality and saves in bytes, on the embedded default model. Ignores speed unless asked.

    python -m benchmarks.quantization [--models DIR] [--only NAME ...] [--windows 6] [--speed] [--json FILE]

Text, all shipped: calibration reads every other support article, glossary and guides; judged are the articles between
them ("articles": the same kind of text, other content), and passages and decision records ("prose": another kind).
Perplexity change against bf16, with a 95 % bootstrap interval over windows of 512 tokens.

Read with care: the embedded weights come from a Q4_1 file (groups of 32, w = d q + m) and are kept as bf16. int4 in
groups of 32 with free offsets can therefore hold them almost exactly, and says little about int4 in general; the
integer and symmetric rows, which compressed-tensors and vLLM serve, do. 576 inputs divide by 64 and not by 128.
"in order" rounds inputs as they lie, without it the largest first. Targets: int8 at most +0.5 %, int4 by GPTQ at most
+4 %, round to nearest beside it.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.setting import MODELS, THREADS, machine
from core_model.checkpoint import TensorFiles
from core_model.compress.coverage import linear_names
from core_model.compress.plan import choose_bits, measure_parts
from core_model.compress.recipe import Recipe, UndertrainedExperts, quantize_model
from core_model.compress.report import Judge, Report, Row, measure_speed, stored_bytes
from core_model.compress.rounding import Scheme
from core_model.config import load_config
from core_model.embedded import prepare_default_model
from core_model.model import Decoder
from core_model.tokenizer import Tokenizer
from core_model.weights import INT8, Weights
from retrieval.ingest import read_folder

ROOT = Path(__file__).parents[1]
WINDOW, PLAN_TOKENS, PLAN_ROOM = 512, 192, 1.15  # a mixed plan may take 15 % more bytes than int4 alone
SYMMETRIC, INTEGER, FREE = Scheme(4, 64), Scheme(4, 32, "integer"), Scheme(4, 32, "free")
RECIPES: Mapping[str, Recipe] = {
    "int8": Recipe("rtn", INT8),
    "int4 free g32 rtn": Recipe("rtn", FREE),
    "int4 free g32 gptq": Recipe("gptq", FREE),
    "int4 integer g32 rtn": Recipe("rtn", INTEGER),
    "int4 integer g32 gptq in order": Recipe("gptq", INTEGER, act_order=False),
    "int4 integer g32 gptq": Recipe("gptq", INTEGER),
    "int4 integer g32 awq+gptq": Recipe("awq+gptq", INTEGER),
    "int4 sym g64 rtn": Recipe("rtn", SYMMETRIC),
    "int4 sym g64 awq": Recipe("awq", SYMMETRIC),
    "int4 sym g64 gptq": Recipe("gptq", SYMMETRIC),
    "int4 sym g64 awq+gptq": Recipe("awq+gptq", SYMMETRIC),
}
CALIBRATION = ("CONTRIBUTING.md", "docs/GLOSSARY.md", "docs/STYLE.md")
PROSE = ("service/evals/text/passages.md", "docs/decisions/*.md")
MIXED = "4/8 mixed sym g64 gptq"


def main() -> None:
    """Quantize, judge, print tables."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    folder = prepare_default_model(args.models, lambda what, done: None)
    config, tokenizer = load_config(folder), Tokenizer.from_folder(folder)
    tensors: dict[str, Any] = dict(TensorFiles(folder))
    articles = [f"# {document.title}\n\n{document.text}" for document in _articles()]
    calibration = _windows(tokenizer, [*articles[::2], *_texts(CALIBRATION)])
    held_out = {"articles": _windows(tokenizer, articles[1::2]), "prose": _windows(tokenizer, _texts(PROSE))}
    bf16 = Decoder(config, Weights(tensors, precision="bf16"))
    judges = {name: Judge(bf16, windows[: args.windows]) for name, windows in held_out.items()}
    prompt = calibration[0][:256]
    rows: dict[str, list[Row]] = {name: [] for name in judges}

    def judge(name: str, decoder: Decoder, num_bytes: int) -> None:
        speed = measure_speed(decoder, prompt) if args.speed else None
        for text, one in judges.items():
            rows[text].append(one.judge(name, decoder, num_bytes=num_bytes, speed=speed))
            row = rows[text][-1]
            change = f"{row.change:+.2%} ({row.low:+.2%} to {row.high:+.2%})"
            print(f"{name:30}{text:10}{row.perplexity:9.3f}  {change}  KL {row.mean_kl:.4f}", flush=True)

    judge("bf16", bf16, stored_bytes(tensors))
    plan = _mixed(config, tensors, calibration) if MIXED in args.only else None
    for name in args.only:
        recipe = Recipe("gptq", SYMMETRIC, bits=plan.bits) if plan and name == MIXED else RECIPES[name]
        start = time.perf_counter()
        with warnings.catch_warnings(action="always", category=UndertrainedExperts):
            found = quantize_model(config, tensors, recipe, windows=calibration)
        print(f"{name}: {time.perf_counter() - start:.0f} s, quantized {found.coverage.linear:.1%}", flush=True)
        over = found.over(tensors)
        judge(name, Decoder(config, Weights(over, precision="int4")), stored_bytes(over))
    reports = [
        Report("smollm2-135m-moe", f"held-out {text}", judges[text].num_tokens, machine(), tuple(found))
        for text, found in rows.items()
    ]
    print("\n\n".join(report.to_markdown() for report in reports))
    print(f"calibration: {sum(map(len, calibration))} tokens of articles; the head is int8 in all rows but bf16")
    if args.json:
        args.json.write_text(json.dumps([json.loads(report.to_json()) for report in reports], indent=2) + "\n")


def _mixed(config: Any, tensors: dict[str, Any], calibration: list[list[int]]) -> Any:
    parts = measure_parts(config, tensors, [calibration[0][:PLAN_TOKENS]], scheme=SYMMETRIC)
    budget = int(sum(part.low_bytes for part in parts) * PLAN_ROOM)
    plan = choose_bits(parts, budget_bytes=budget)
    print(f"mixed plan: {len(plan.bits)} of {len(linear_names(tensors))} weights in int8, {plan.num_bytes} bytes")
    return plan


def _articles() -> list[Any]:
    documents, _ = read_folder(ROOT / "verticals" / "support" / "knowledge")
    return documents


def _texts(names: Sequence[str]) -> list[str]:
    return [path.read_text(encoding="utf-8") for name in names for path in sorted(ROOT.glob(name))]


def _windows(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    token_ids = tokenizer.encode("\n\n".join(texts))
    return [token_ids[first : first + WINDOW] for first in range(0, len(token_ids), WINDOW)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--only", nargs="+", choices=[*RECIPES, MIXED], default=[*RECIPES, MIXED])
    parser.add_argument("--windows", type=int, default=6, help="of 512 tokens, judged of each text")
    parser.add_argument("--speed", action="store_true", help="measure prefill and decode, too")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
