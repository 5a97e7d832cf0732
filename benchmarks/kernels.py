"""Speed of the native kernels on the embedded Q4_1 file, beside llama.cpp, OpenVINO and transformers in the same run.

    pip install xllamacpp openvino-genai
    python -m benchmarks.kernels [--threads N] [--runs 5] [--models DIR] [--without NAME ...] [--json FILE]

Decoding: 128 tokens after a prompt of 16, greedy; batch 8: eight such requests at once, tokens of all; prefill: a
prompt of 512 to its first token. Programs take turns within a run and medians of the runs are told, so that a busy
machine slows all alike; each prompt is new, so that no cache helps. llama.cpp is judged by its own clock, which leaves
its server's overhead out; ours by the engine's stream, the service's entrance. Fidelity: mean KL divergence and
agreement of the likeliest token with fp32, teacher-forced, 400 tokens. The second table divides by processor time
instead of time: with one thread that is what a quiet core would do, also where others use it. Bandwidth: reading
512 MiB, on as many threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.setting import MODELS, machine
from core_model.embedded import find_gguf, prepare_default_model
from core_model.engine import Engine
from core_model.evaluate import logits_kl
from core_model.generation import RequestOptions, SamplingParams
from core_model.kernels.library import open_kernels
from core_model.loading import load_decoder, load_engine, load_tokenizer

PROMPT, NEW, LONG, BATCH, TAUGHT = 16, 128, 512, 8, 400
FIGURES = ("decode", "batch 8", "prefill")


@dataclass(frozen=True)
class Program:
    """Each takes prompts, and gives tokens/s; None: it cannot."""

    decode: Callable[[list[list[int]]], float]
    prefill: Callable[[list[int]], float]
    has_batch: bool = True


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    args = _arguments()

    def upcycled(threads: int) -> Program:
        return _ours(prepare_default_model(args.models, lambda what, done: None), threads)

    makers: dict[str, Callable[[int], Program]] = {
        "ours": partial(_ours, find_gguf()),
        "ours, upcycled": upcycled,
        "llama.cpp": partial(_llama, find_gguf()),
        "openvino": partial(_openvino, find_gguf()),
        "transformers bf16": partial(_transformers, find_gguf()),
    }
    programs = {name: make(args.threads) for name, make in makers.items() if name not in args.without}
    generator = torch.Generator().manual_seed(0)

    def prompts(num: int, length: int) -> list[list[int]]:
        return torch.randint(1000, 40_000, (num, length), generator=generator).tolist()

    found, by_cpu = ({name: {figure: [0.0] * 0 for figure in FIGURES} for name in programs} for _ in range(2))
    for run in range(-1, args.runs):  # run -1 warms up
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
    report = {
        "machine": machine(),
        "threads": args.threads,
        "bandwidth_gb_s": _bandwidth(args.threads),
        "medians": _medians(found),
        "medians_by_processor_time": _medians(by_cpu),
        "all": found,
        "all_by_processor_time": by_cpu,
        "fidelity": _fidelity(find_gguf()),
    }
    _print(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _medians(found: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    return {name: {f: statistics.median(r) for f, r in rates.items() if r} for name, rates in found.items()}


def _ours(path: Path, threads: int) -> Program:
    engine = load_engine(path, device="cpu", num_threads=threads, speculation="off")[0]

    def decode(prompts: list[list[int]]) -> float:
        with ThreadPoolExecutor(len(prompts)) as pool:
            times = [time for times in pool.map(lambda prompt: _times(engine, prompt, NEW), prompts) for time in times]
        first = sorted(times)[len(prompts) - 1]
        return (len(times) - len(prompts)) / (max(times) - first)

    def prefill(prompt: list[int]) -> float:
        start = time.perf_counter()
        return len(prompt) / (_times(engine, prompt, 1)[0] - start)

    return Program(decode, prefill)


def _times(engine: Engine, prompt: list[int], num_tokens: int) -> list[float]:
    params = SamplingParams(max_tokens=num_tokens, ignore_eos=True)
    chunks = engine.stream(prompt, params, options=RequestOptions(speculate=False))
    return [time.perf_counter() for chunk in chunks for _ in chunk.token_ids]


def _llama(path: Path, threads: int) -> Program:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.verbosity = str(path), 8192, BATCH, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers, params.cache_prompt = 0, False
    server = xllamacpp.Server(params)

    def complete(prompt: list[int], num_tokens: int) -> dict[str, Any]:
        asked = {"prompt": prompt, "n_predict": num_tokens, "ignore_eos": True, "temperature": 0, "cache_prompt": False}
        timings: dict[str, Any] = server.handle_completions(asked)["timings"]
        return timings

    def decode(prompts: list[list[int]]) -> float:
        with ThreadPoolExecutor(len(prompts)) as pool:
            found = list(pool.map(lambda prompt: complete(prompt, NEW), prompts))
        return len(found) * (NEW - 1) / float(max(timings["predicted_ms"] for timings in found)) * 1000

    return Program(decode, lambda prompt: float(complete(prompt, 1)["prompt_per_second"]))


def _openvino(path: Path, threads: int) -> Program:
    import numpy as np
    import openvino
    import openvino_genai

    pipeline = openvino_genai.LLMPipeline(str(path), "CPU", INFERENCE_NUM_THREADS=threads)

    def generate(prompt: list[int], num_tokens: int) -> Any:
        config = openvino_genai.GenerationConfig(max_new_tokens=num_tokens, ignore_eos=True, do_sample=False)
        ids = openvino.Tensor(np.array([prompt], dtype=np.int64))
        return pipeline.generate(openvino_genai.TokenizedInputs(ids, openvino.Tensor(np.ones_like(ids.data))), config)

    def prefill(prompt: list[int]) -> float:
        return float(1000 * len(prompt) / generate(prompt, 1).perf_metrics.get_ttft().mean)

    return Program(lambda prompts: float(generate(prompts[0], NEW).perf_metrics.get_throughput().mean), prefill, False)


def _transformers(path: Path, threads: int) -> Program:
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16).eval()

    @torch.inference_mode()
    def seconds(prompts: list[list[int]], num_tokens: int) -> float:
        ids, start = torch.tensor(prompts), time.perf_counter()
        sizes = {"min_new_tokens": num_tokens, "max_new_tokens": num_tokens}
        model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=2, **sizes)
        return time.perf_counter() - start

    def decode(prompts: list[list[int]]) -> float:
        return len(prompts) * (NEW - 1) / (seconds(prompts, NEW) - seconds(prompts, 1))

    return Program(decode, lambda prompt: len(prompt) / seconds([prompt], 1))


def _fidelity(path: Path) -> dict[str, float]:
    text = (Path(__file__).parents[1] / "LICENSE").read_text(encoding="utf-8")
    ids = load_tokenizer(path).encode(text)[:TAUGHT]
    exact = load_decoder(path, precision="fp32")
    drift = logits_kl(exact, load_decoder(path, precision="int8", kernels=open_kernels(num_threads=1)), ids)
    return {"mean_kl": drift.mean_kl, "top1_agreement": drift.top1_agreement, "num_tokens": drift.num_tokens}


def _bandwidth(threads: int) -> float:
    torch.set_num_threads(threads)
    memory, times = torch.zeros(2**26, dtype=torch.int64), []
    for _ in range(5):
        start = time.perf_counter()
        memory.max()
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
            ours = medians.get("ours", rates)
            told = (
                f"{rates[figure]:12.1f}{ours[figure] / rates[figure]:8.2f}x" if figure in rates else f"{'-':>12}{'':9}"
                for figure in FIGURES
            )
            print(f"{name:20}" + "".join(told))
    fidelity = report["fidelity"]
    print(f"against fp32: mean KL {fidelity['mean_kl']:.4f}, same likeliest token {fidelity['top1_agreement']:.1%}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS, help="where the upcycled model is kept")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without", nargs="*", default=[], help="programs to leave out")
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
