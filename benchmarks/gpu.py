"""The core on a GPU: decoding beside the memory's limit, 4 bits beside 16, many requests, experts beside torch's.

    python -m benchmarks.gpu [--minutes 8] [--json FILE] [--parts copy experts ...]

Needs one NVIDIA GPU with 80 GB or more and the extra `cuda`. Each part has a share of the minutes and is left out, said
so, when they are over; the JSON is written anew after every part. Weights are random, in DeepSeek-V2-Lite's shape.

- copy: the limit. Bytes read and written a second by a device copy of 4 GiB, best of 20.
- experts: one layer (2048, 64 x 1408, top-6), 1 / 32 / 512 tokens: our 16 and 4 bits, torch._grouped_mm, medians.
- bf16, int4: tokens/s of one request (its share of the limit) and of 64 at once, prompts of 64 tokens, greedy.
- transformers: the same weights' shape in bf16, `generate` with 1 prompt and with 64.
- continuous: its continuous batching with 64, prompts and start included.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from benchmarks.gpu_model import V2_LITE, bytes_per_token, make_engine
from benchmarks.setting import machine
from core_model.compress.rounding import round_to_nearest
from core_model.engine import Engine
from core_model.few_bits import Int4GroupedLinear
from core_model.generation import RequestOptions, SamplingParams
from core_model.kernels.on_gpu import why_not
from core_model.weights import INT4, Precision

PROMPT, REQUESTS = 64, 64
DIM, WIDTH, EXPERTS, CHOSEN = 2048, 1408, 64, 6
Part = Callable[[float], dict[str, Any]]  # until when -> figures


def main(argv: list[str] | None = None) -> None:
    """Run the parts, print and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    args = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if missing := why_not(device):
        raise SystemExit(f"benchmarks.gpu: needs an NVIDIA GPU of 80 GB and triton ({missing}).")

    end = time.perf_counter() + args.minutes * 60
    found: dict[str, Any] = {"machine": machine(), "gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    for i, name in enumerate(args.parts):
        begun = time.perf_counter()
        if begun > end:
            found[name] = {"left_out": "the minutes were over"}
            continue
        try:
            found[name] = PARTS[name](begun + (end - begun) / (len(args.parts) - i) * 2 / 3)
        except Exception as error:  # noqa: BLE001 - the other parts are still worth having
            found[name] = {"failed": f"{type(error).__name__}: {error}"}
        found[name]["seconds"] = round(time.perf_counter() - begun, 1)
        gc.collect()
        torch.cuda.empty_cache()
        _relate(found)
        print(name, json.dumps(found[name]), flush=True)
        if args.json:
            args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print("compared", json.dumps(found.get("compared", {})))


def _relate(found: dict[str, Any]) -> None:
    """The ratios that the figures are for."""
    rate = {name: found.get(name, {}).get("tokens_per_s") for name in ("bf16", "int4", "transformers")}
    many = {name: found.get(name, {}).get("tokens_per_s_64") for name in ("bf16", "int4")}
    bandwidth, compared = found.get("copy", {}).get("bytes_per_s"), {}
    for name in ("bf16", "int4"):
        if rate[name] and bandwidth:
            compared[f"{name}_share_of_limit"] = rate[name] * found[name]["bytes_per_token"] / bandwidth
        if many[name] and rate["transformers"]:
            compared[f"{name}_64_over_generate"] = many[name] / rate["transformers"]
    if rate["int4"] and rate["bf16"]:
        compared["int4_over_bf16"] = rate["int4"] / rate["bf16"]
    found["compared"] = {name: round(value, 3) for name, value in compared.items()}


# --- the limit -------------------------------------------------------------------------------------------------------


def _copy(_until: float) -> dict[str, Any]:
    source = torch.empty(4 * 2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    seconds = min(_times(lambda: target.copy_(source), runs=20))
    return {"bytes_per_s": 2 * source.numel() / seconds}


def _times(run: Callable[[], object], *, runs: int) -> list[float]:
    """Seconds of each run on the device, after two that warm up."""
    run(), run()
    new_event: Any = partial(torch.cuda.Event, enable_timing=True)
    events = [[new_event() for _ in range(2)] for _ in range(runs)]
    for begin, end in events:
        begin.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) / 1000 for begin, end in events]


def _graph(run: Callable[[], object]) -> Callable[[], object]:
    """The same launched at once, so that neither side is measured by how fast Python is."""
    run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


# --- one layer of experts --------------------------------------------------------------------------------------------


def _experts(until: float) -> dict[str, Any]:
    from core_model.kernels.gpu.stacked import Stacked, stack_experts

    def random(outputs: int, inputs: int) -> Tensor:
        weights = torch.randn(EXPERTS, outputs, inputs, device="cuda", dtype=torch.bfloat16)
        return weights.div_(inputs**0.5)

    plain = random(2 * WIDTH, DIM), random(DIM, WIDTH)
    coarse = [Int4GroupedLinear([round_to_nearest(w, INT4) for w in weights]) for weights in plain]
    widened = [torch.stack([w._dequantized(w.packed.shape[1] * 2) for w in layer.weights]) for layer in coarse]
    stacked = [stack_experts(layer) for layer in coarse]
    assert stacked[0]
    assert stacked[1]
    found: dict[str, Any] = {}
    for num in (1, 32, 512):
        if time.perf_counter() > until:
            break
        x = torch.randn(num, DIM, device="cuda", dtype=torch.bfloat16)
        weights, experts = torch.randn(num, EXPERTS, device="cuda").softmax(-1).topk(CHOSEN)
        runs = {
            "ours int4": partial(_ours, x, experts.int(), weights, (stacked[0], stacked[1])),
            "ours bf16": partial(_ours, x, experts.int(), weights, (Stacked(plain[0]), Stacked(plain[1]))),
            "torch._grouped_mm bf16": partial(_grouped_mm, x, experts, weights, plain),
        }
        exact = _exact(x, experts, weights, widened)
        error = (runs["ours int4"]().float() - exact).norm() / exact.norm()
        times = {name: statistics.median(_times(_graph(run), runs=50)) * 1e6 for name, run in runs.items()}
        found[f"{num} tokens, us"] = {name: round(value, 1) for name, value in times.items()}
        found[f"{num} tokens, int4 error"] = float(error)
    return found


def _ours(x: Tensor, experts: Tensor, weights: Tensor, stacked: tuple[Any, Any]) -> Tensor:
    from core_model.kernels.gpu.matmul import expert_linear, expert_swiglu, tile_rows
    from core_model.kernels.gpu.router import sort_pairs

    counts = torch.zeros(EXPERTS, dtype=torch.int64, device="cuda")
    num = torch.full((), len(x), dtype=torch.int32, device="cuda")
    rows = tile_rows(experts.numel() / EXPERTS)
    tiles = sort_pairs(experts, num_experts=EXPERTS, rows=rows, counts_E=counts, num_tokens=num)
    hidden = expert_swiglu(x, stacked[0], tiles, num_chosen=CHOSEN)
    return expert_linear(hidden, stacked[1], tiles, weights).sum(1)


def _grouped_mm(x: Tensor, experts: Tensor, weights: Tensor, plain: tuple[Tensor, Tensor]) -> Tensor:
    order = experts.flatten().argsort()
    ends = torch.zeros(EXPERTS, dtype=torch.int32, device="cuda")
    ends.scatter_add_(0, experts.flatten(), torch.ones_like(experts.flatten(), dtype=torch.int32))
    ends = ends.cumsum(0, dtype=torch.int32)
    token = order // CHOSEN
    gate, up = torch._grouped_mm(x[token], plain[0].transpose(1, 2), offs=ends).chunk(2, -1)
    y = torch._grouped_mm(F.silu(gate) * up, plain[1].transpose(1, 2), offs=ends)
    return torch.zeros_like(x).index_add_(0, token, y * weights.flatten()[order, None].to(y.dtype))


def _exact(x: Tensor, experts: Tensor, weights: Tensor, widened: list[Tensor]) -> Tensor:
    """In fp32, over the weights that the codes stand for."""
    out = torch.zeros(len(x), DIM, device="cuda")
    for expert in range(EXPERTS):
        token, choice = (experts == expert).nonzero(as_tuple=True)
        gate, up = (x[token].float() @ widened[0][expert].T).chunk(2, -1)
        out.index_add_(0, token, weights[token, choice, None] * ((F.silu(gate) * up) @ widened[1][expert].T))
    return out


# --- decoding --------------------------------------------------------------------------------------------------------


def _decode(precision: Precision, until: float) -> dict[str, Any]:
    begun = time.perf_counter()
    engine = make_engine(V2_LITE, precision, device=torch.device("cuda"), max_batch=REQUESTS)
    found: dict[str, Any] = {"bytes_per_token": bytes_per_token(V2_LITE, precision)}
    try:
        found["load_s"] = round(time.perf_counter() - begun, 1)
        _many(engine, 1, 16), _many(engine, REQUESTS, 16)  # compiles, and records the graphs
        for key, num, length in (("tokens_per_s", 1, 256), ("tokens_per_s_64", REQUESTS, 128)):
            rates = [_many(engine, num, length)]
            while len(rates) < 5 and time.perf_counter() < until:
                rates.append(_many(engine, num, length))
            found |= {key: statistics.median(rates), f"{key}_runs": len(rates)}
    finally:
        engine.close()
    return found


def _many(engine: Engine, num: int, length: int) -> float:
    """Tokens a second of all requests together, from the first token that any of them gets."""
    params = SamplingParams(max_tokens=length, ignore_eos=True)
    firsts: list[float] = []

    def answer(seed: int) -> int:
        prompt = torch.randint(0, V2_LITE["vocab_size"], (PROMPT,), generator=torch.Generator().manual_seed(seed))
        chunks = engine.stream(prompt.tolist(), params, options=RequestOptions(cache_salt=str(time.perf_counter())))
        some = len(next(chunks).token_ids)
        firsts.append(time.perf_counter())
        return sum(len(chunk.token_ids) for chunk in chunks) + some - 1

    with ThreadPoolExecutor(num) as pool:
        num_tokens = sum(pool.map(answer, range(num)))
    return num_tokens / (time.perf_counter() - min(firsts))


def _their_model() -> Any:
    from transformers import AutoModelForCausalLM, DeepseekV2Config

    config = DeepseekV2Config(**{key: value for key, value in V2_LITE.items() if key != "model_type"})
    with torch.device("cuda"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def _transformers(until: float) -> dict[str, Any]:
    model = _their_model()
    found: dict[str, Any] = {}
    for key, num in (("tokens_per_s", 1), ("tokens_per_s_64", REQUESTS)):
        ids = torch.randint(0, V2_LITE["vocab_size"], (num, PROMPT), device="cuda")
        run = partial(_generate, model, ids)
        run(4)
        rates: list[float] = []
        while len(rates) < 3 and (not rates or time.perf_counter() < until):
            first, all_s = run(1), run(33)
            rates.append(num * 32 / (all_s - first))
        found |= {key: statistics.median(rates), f"{key}_runs": len(rates)}
    return found


@torch.inference_mode()
def _generate(model: Any, ids: Tensor, num_tokens: int) -> float:
    begun = time.perf_counter()
    length = {"max_new_tokens": num_tokens, "min_new_tokens": num_tokens}
    model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0, **length)
    torch.cuda.synchronize()
    return time.perf_counter() - begun


def _continuous(_until: float) -> dict[str, Any]:
    from transformers import GenerationConfig

    model, length = _their_model(), 64
    prompts = torch.randint(0, V2_LITE["vocab_size"], (REQUESTS, PROMPT)).tolist()
    config = GenerationConfig(max_new_tokens=length, min_new_tokens=length, do_sample=False, pad_token_id=0)
    seconds = []
    for _ in range(2):  # the first warms up
        begun = time.perf_counter()
        answers = model.generate_batch(inputs=prompts, generation_config=config)
        seconds.append(time.perf_counter() - begun)
    return {"tokens_per_s_64": sum(len(each.generated_tokens) for each in answers.values()) / seconds[-1]}


PARTS: Mapping[str, Part] = {
    "copy": _copy,
    "experts": _experts,
    "bf16": partial(_decode, "bf16"),
    "int4": partial(_decode, "int4"),
    "transformers": _transformers,
    "continuous": _continuous,
}

if __name__ == "__main__":
    main()
