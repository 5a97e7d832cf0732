"""The programs of `benchmarks.kernels` behind one interface: the engine, llama.cpp, OpenVINO and transformers."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core_model.attention import GroupedQueryAttention
from core_model.engine import Engine
from core_model.evaluate import token_logits
from core_model.generation import RequestOptions, SamplingParams
from core_model.kernels.linear import NativeGroupedLinear, NativeLinear
from core_model.loading import load_decoder, load_engine, serving
from core_model.model import Decoder
from core_model.moe import MoE
from core_model.quantize import GroupedLinear, Linear

NEW, BATCH = 128, 8
_ALL = 2**20  # more tokens than a vocabulary has


@dataclass(frozen=True)
class Program:
    """What is measured of a program.

    Attributes:
        decode: Prompts to tokens/s of all, greedy, `NEW` tokens each.
        prefill: A prompt to its tokens/s until the first new token.
        has_batch: Whether `decode` takes more than one prompt.
        log_probs: Tokens to log-probabilities of the next one after each, (T, V) fp32; None: it does not tell them.
        bytes_per_token: As the function says; None: unknown.
    """

    decode: Callable[[list[list[int]]], float]
    prefill: Callable[[list[int]], float]
    has_batch: bool = True
    log_probs: Callable[[list[int]], Tensor] | None = None
    bytes_per_token: float | None = None


def ours(path: Path, threads: int) -> Program:
    """The engine as the service starts it, by its stream; speculation is off."""
    engine = load_engine(path, device="cpu", num_threads=threads, speculation="off")[0]

    def decode(prompts: list[list[int]]) -> float:
        with ThreadPoolExecutor(len(prompts)) as pool:
            times = [time for times in pool.map(lambda prompt: _times(engine, prompt, NEW), prompts) for time in times]
        first = sorted(times)[len(prompts) - 1]
        return (len(times) - len(prompts)) / (max(times) - first)

    def prefill(prompt: list[int]) -> float:
        start = time.perf_counter()
        return len(prompt) / (_times(engine, prompt, 1)[0] - start)

    def decoder() -> Decoder:
        precision, kernels = serving(path, "auto", device="cpu", num_threads=threads)
        return load_decoder(path, precision=precision, kernels=kernels)

    def log_probs(ids: list[int]) -> Tensor:
        return token_logits(decoder(), ids).log_softmax(-1)

    loaded = decoder()
    read = bytes_per_token(loaded) if loaded.step is not None else None
    return Program(decode, prefill, log_probs=log_probs, bytes_per_token=read)


def llama_cpp(path: Path, threads: int) -> Program:
    """llama.cpp's server in this process, by its own clock, which leaves out what is not the model."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.verbosity = str(path), 8192, BATCH, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers, params.cache_prompt, params.cache_ram_mib = 0, False, 0
    server = xllamacpp.Server(params)

    def complete(prompt: list[int], num_tokens: int, **more: Any) -> dict[str, Any]:
        asked = {"prompt": prompt, "n_predict": num_tokens, "ignore_eos": True, "temperature": 0, "cache_prompt": False}
        answer: dict[str, Any] = server.handle_completions(asked | more)
        return answer

    def decode(prompts: list[list[int]]) -> float:
        with ThreadPoolExecutor(len(prompts)) as pool:
            found = list(pool.map(lambda prompt: complete(prompt, NEW)["timings"], prompts))
        return len(found) * (NEW - 1) / float(max(timings["predicted_ms"] for timings in found)) * 1000

    def prefill(prompt: list[int]) -> float:
        return float(complete(prompt, 1)["timings"]["prompt_per_second"])

    def log_probs(ids: list[int]) -> Tensor:
        """One call a token: the server tells probabilities of new tokens only; before `ignore_eos` and the like."""
        rows = []
        for num_tokens in range(1, len(ids) + 1):
            answer = complete(ids[:num_tokens], 1, cache_prompt=True, ignore_eos=False, logprobs=_ALL)
            found = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            rows.append(torch.tensor([one["logprob"] for one in sorted(found, key=lambda one: one["id"])]))
        return torch.stack(rows)

    return Program(decode, prefill, log_probs=log_probs)


def openvino(path: Path, threads: int) -> Program:
    """OpenVINO GenAI, which reads the file itself; one request at a time."""
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


def transformers_bf16(path: Path, threads: int) -> Program:
    """transformers' `generate` on the file's weights in bf16."""
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


def bytes_per_token(decoder: Decoder) -> float:
    """Packed weights that a token reads when it is decoded alone: all layers and the head, but only its own experts.

    Norms and the embedding of one word are left out, which are little.
    """
    config, linears, routed, routers = decoder.config, [decoder.lm_head], list[GroupedLinear](), 0
    for layer in decoder.layers:
        attention, mlp = layer.self_attn, layer.mlp
        assert isinstance(attention, GroupedQueryAttention)
        linears += [attention.qkv_proj, attention.o_proj]
        if isinstance(mlp, MoE):
            routed += [mlp.experts.gate_up_proj, mlp.experts.down_proj]
            routers += mlp.gate.weight_ED.nbytes
        dense = mlp.shared_experts if isinstance(mlp, MoE) else mlp
        linears += [dense.gate_up_proj, dense.down_proj] if dense else []
    share = config.num_experts_per_tok / config.n_routed_experts if routed else 0
    return sum(map(_nbytes, linears)) + routers + share * sum(map(_nbytes, routed))


def _nbytes(linear: Linear | GroupedLinear) -> int:
    assert isinstance(linear, NativeLinear | NativeGroupedLinear)
    return linear.nbytes


def _times(engine: Engine, prompt: list[int], num_tokens: int) -> list[float]:
    params = SamplingParams(max_tokens=num_tokens, ignore_eos=True)
    chunks = engine.stream(prompt, params, options=RequestOptions(speculate=False))
    return [time.perf_counter() for chunk in chunks for _ in chunk.token_ids]
