"""Speed of the native kernels on the embedded Q4_1 file, beside llama.cpp, OpenVINO and transformers in the same run.

    pip install xllamacpp openvino-genai
    python -m benchmarks.kernels [--threads N] [--runs 5] [--models DIR] [--only NAME ...] [--json FILE]

Decoding: 128 tokens after a prompt of 16, greedy; batch 8: eight such requests at once, tokens of all; prefill: a
prompt of 512 to its first token. Programs take turns within a run and medians of the runs are told, so that a busy
machine slows all alike; each prompt is new, so that no cache helps. llama.cpp is judged by its own clock, which leaves
its server's overhead out; ours by the engine's stream, the service's entrance. llama.cpp also runs its other 4-bit
formats and a mixture of experts of the default model's shape (`kernels_files`, written to DIR once): "ours is" compares
that with ours upcycled, all others with ours. The second table divides by processor time instead of time: with one
thread that is what a quiet core would do, also where others use it.

Bandwidth: reading 512 MiB on as many threads, the fastest of several plain readers, in each run; weights that a
decoded token reads, times tokens/s, are our share of it. What stays in a cache need not be read again, so that the
share can pass 100 %.
Fidelity: mean KL divergence of the whole vocabulary's probabilities and agreement of the likeliest token with the
file in fp32, after each of the same 400 tokens, and by how much the mean is above llama.cpp's, with a 95 % bootstrap
interval over the tokens. llama.cpp decodes them one by one, ours reads them at once, which in its kernels is the same
to the bit; this takes llama.cpp's server minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.kernels_files import as_mixture, in_format
from benchmarks.kernels_programs import BATCH, NEW, Program, llama_cpp, openvino, ours, transformers_bf16
from benchmarks.setting import MODELS, machine
from core_model.config import load_config
from core_model.embedded import find_gguf, prepare_default_model
from core_model.evaluate import token_kl, token_logits
from core_model.loading import load_decoder, load_tokenizer
from verticals.bootstrap import bootstrap_interval

PROMPT, LONG, TAUGHT = 16, 512, 400
FIGURES = ("decode", "batch 8", "prefill")
OURS, UPCYCLED, LLAMA, MIXTURE = "ours", "ours, upcycled", "llama.cpp", "llama.cpp, mixture"
PROGRAMS: Mapping[str, Callable[[Path, int], Program]] = {  # models' folder and threads to a program
    OURS: lambda models, threads: ours(find_gguf(), threads),
    UPCYCLED: lambda models, threads: ours(_upcycled(models), threads),
    LLAMA: lambda models, threads: llama_cpp(find_gguf(), threads),
    "llama.cpp, Q4_0": lambda models, threads: llama_cpp(in_format(find_gguf(), "Q4_0", models), threads),
    "llama.cpp, IQ4_NL": lambda models, threads: llama_cpp(in_format(find_gguf(), "IQ4_NL", models), threads),
    MIXTURE: lambda models, threads: llama_cpp(_mixture(models), threads),
    "openvino": lambda models, threads: openvino(find_gguf(), threads),
    "transformers bf16": lambda models, threads: transformers_bf16(find_gguf(), threads),
}
FAITHFUL = (OURS, UPCYCLED, LLAMA)  # whose weights are the file's

Found = dict[str, dict[str, list[float]]]  # program to figure to tokens/s of each run


def main() -> None:
    """Measure, print tables, write JSON if asked."""
    args = _arguments()
    programs = {name: PROGRAMS[name](args.models, args.threads) for name in args.only}
    found, by_cpu, bandwidths = _measure(programs, runs=args.runs, threads=args.threads)
    medians, bandwidth = _medians(found), statistics.median(bandwidths)
    report = {
        "machine": machine(),
        "threads": args.threads,
        "bandwidth_gb_s": bandwidth,
        "reads": {
            name: {"bytes_per_token": read, "share": read * medians[name]["decode"] / bandwidth / 1e9}
            for name, program in programs.items()
            if (read := program.bytes_per_token) is not None
        },
        "medians": medians,
        "medians_by_processor_time": _medians(by_cpu),
        "all": found,
        "all_by_processor_time": by_cpu,
        "all_bandwidths_gb_s": bandwidths,
        "fidelity": _fidelity({name: program for name, program in programs.items() if name in FAITHFUL}),
    }
    _print(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _measure(programs: Mapping[str, Program], *, runs: int, threads: int) -> tuple[Found, Found, list[float]]:
    """Tokens/s by the clock and by processor time, and GB/s of each run."""
    found: Found = {name: {figure: [] for figure in FIGURES} for name in programs}
    by_cpu, bandwidths, generator = deepcopy(found), list[float](), torch.Generator().manual_seed(0)

    def prompts(num: int, length: int) -> list[list[int]]:
        return torch.randint(1000, 40_000, (num, length), generator=generator).tolist()

    for run in range(-1, runs):  # run -1 warms up
        for name, program in programs.items():
            measures = {
                "decode": (partial(program.decode, prompts(1, PROMPT)), NEW),
                "batch 8": (partial(program.decode, prompts(BATCH, PROMPT)), BATCH * NEW),
                "prefill": (partial(program.prefill, prompts(1, LONG)[0]), LONG),
            }
            for figure, (measure, num_tokens) in measures.items():
                if figure == "batch 8" and not program.has_batch:
                    continue
                before = time.process_time()
                rate = measure()
                if run >= 0:
                    found[name][figure].append(rate)
                    by_cpu[name][figure].append(num_tokens / (time.process_time() - before))
        if run >= 0:
            bandwidths.append(_bandwidth(threads))
    return found, by_cpu, bandwidths


def _medians(found: Found) -> dict[str, dict[str, float]]:
    return {name: {f: statistics.median(r) for f, r in rates.items() if r} for name, rates in found.items()}


def _fidelity(programs: Mapping[str, Program]) -> dict[str, dict[str, Any]]:
    text = (Path(__file__).parents[1] / "LICENSE").read_text(encoding="utf-8")
    ids = load_tokenizer(find_gguf()).encode(text)[:TAUGHT]
    exact_TV = token_logits(load_decoder(find_gguf(), precision="fp32"), ids).log_softmax(-1)
    found, divergences = dict[str, dict[str, Any]](), dict[str, np.ndarray]()
    for name, program in programs.items():
        if program.log_probs is not None:
            found_TV = program.log_probs(ids)
            agreement = (exact_TV.argmax(-1) == found_TV.argmax(-1)).float().mean()
            divergences[name] = token_kl(exact_TV, found_TV).numpy()
            mean = float(divergences[name].mean())
            found[name] = {"mean_kl": mean, "top1_agreement": float(agreement), "num_tokens": len(ids)}
    theirs_T = divergences.pop(LLAMA, None)
    if theirs_T is not None:
        for name, divergence_T in divergences.items():
            found[name]["above_llama_cpp"] = bootstrap_interval(divergence_T - theirs_T)
    return found


def _bandwidth(threads: int) -> float:
    torch.set_num_threads(threads)
    memory = torch.from_numpy(np.ones(2**27, np.float32))  # numpy asks for huge pages, as the kernels' memory does
    matrix, vector = memory.view(2**13, -1), torch.ones(2**14)
    times = []
    for _ in range(5):
        for read in (memory.view(torch.int64).max, memory.view(torch.float64).sum, partial(torch.mv, matrix, vector)):
            start = time.perf_counter()
            read()
            times.append(time.perf_counter() - start)
    return memory.nbytes / min(times) / 1e9


def _print(report: dict[str, Any]) -> None:
    print(f"{report['machine']}; {report['threads']} threads; reads {report['bandwidth_gb_s']:.1f} GB/s")
    for title, medians in (
        ("tokens/s", report["medians"]),
        ("by processor time", report["medians_by_processor_time"]),
    ):
        print(f"{title:20}" + "".join(f"{figure:>12}{'ours is':>9}" for figure in FIGURES))
        for name, rates in medians.items():
            mine = medians.get(UPCYCLED if name == MIXTURE else OURS, rates)
            told = (
                f"{rates[figure]:12.1f}{mine[figure] / rates[figure]:8.2f}x" if figure in rates else f"{'-':>12}{'':9}"
                for figure in FIGURES
            )
            print(f"{name:20}" + "".join(told))
    for name, rates in report["medians"].items():
        if "batch 8" in rates:
            print(f"{name}: eight tokens take {BATCH * rates['decode'] / rates['batch 8']:.2f} times as long as one")
    for name, read in report["reads"].items():
        print(f"{name}: {read['bytes_per_token'] / 1e6:.1f} MB a token, {read['share']:.0%} of the bandwidth")
    for name, drift in report["fidelity"].items():
        kl, agreement = drift["mean_kl"], drift["top1_agreement"]
        fidelity = f"{name}: mean KL {kl:.4f} from fp32, same likeliest token {agreement:.1%} of {drift['num_tokens']}"
        above = drift.get("above_llama_cpp")
        print(fidelity + (f"; mean KL less llama.cpp's [{above[0]:.4f}, {above[1]:.4f}]" if above else ""))


def _upcycled(models: Path) -> Path:
    return prepare_default_model(models, lambda what, done: None)


def _mixture(models: Path) -> Path:
    return as_mixture(find_gguf(), load_config(_upcycled(models)), models)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS, help="where the models are kept that are made here")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS), help="all if left out")
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
