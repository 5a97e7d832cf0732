"""Tiny seeded models and tokenizers: every core test runs on them, on a CPU, in milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import tokenizers
import torch
from torch import Tensor

from core_model.config import ModelConfig, parse_config
from core_model.constrain import ConstraintFactory
from core_model.engine import Engine
from core_model.generation import TokenChunk
from core_model.kv_cache import PAGE_SIZE, PagedCache
from core_model.model import Decoder
from core_model.runner import ModelRunner
from core_model.tokenizer import Tokenizer
from core_model.weights import Precision, Weights

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": True,
    "attention_bias": False,
}
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def random_llama() -> dict[str, Tensor]:
    """Seeded weights for `LLAMA`."""
    return random_tensors(LLAMA)


def random_tensors(config: dict[str, Any]) -> dict[str, Tensor]:
    """Seeded weights for a Llama with tied embeddings."""
    torch.manual_seed(0)
    dim, ffn, num_heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    kv_dim = dim // num_heads * config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], dim), "model.norm.weight": (dim,)}
    for i in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{i}"
        shapes |= {
            f"{prefix}.input_layernorm.weight": (dim,),
            f"{prefix}.post_attention_layernorm.weight": (dim,),
            f"{prefix}.self_attn.q_proj.weight": (dim, dim),
            f"{prefix}.self_attn.k_proj.weight": (kv_dim, dim),
            f"{prefix}.self_attn.v_proj.weight": (kv_dim, dim),
            f"{prefix}.self_attn.o_proj.weight": (dim, dim),
            f"{prefix}.mlp.gate_proj.weight": (ffn, dim),
            f"{prefix}.mlp.up_proj.weight": (ffn, dim),
            f"{prefix}.mlp.down_proj.weight": (dim, ffn),
        }
    return {name: torch.randn(shape) * 0.2 + ("norm" in name) for name, shape in shapes.items()}


def make_decoder(precision: Precision) -> Decoder:
    """The random Llama."""
    return Decoder(parse_config(LLAMA), Weights(random_llama(), precision=precision))


def open_cache(config: ModelConfig, *, num_slots: int, max_context: int) -> PagedCache:
    """An fp32 cache with slots 0 to `num_slots` - 1 open, empty, each with room for `max_context` tokens."""
    num_pages = num_slots * -(-max_context // PAGE_SIZE)
    cache = PagedCache(config, num_pages=num_pages, dtype=torch.float32, device=torch.device("cpu"))
    for i in range(num_slots):
        assert cache.begin([0] * max_context, root=bytes([i])) == (i, 0)
    return cache


def make_backend() -> tokenizers.Tokenizer:
    """Bytes as tokens (256), and three special ones."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(["<|start|>", "<|end|>", "<|eos|>"])
    return backend


def make_tokenizer() -> Tokenizer:
    """`make_backend` with a chat template."""
    backend = make_backend()
    end = frozenset({backend.token_to_id("<|end|>"), backend.token_to_id("<|eos|>")})
    return Tokenizer(backend, eos_ids=end, chat_template=TEMPLATE)


def make_engine(*, max_batch: int = 4) -> Engine:
    """A started engine over the random Llama, with grammars and a context of 2,048; close it."""
    tokenizer, config = make_tokenizer(), parse_config({**LLAMA, "max_position_embeddings": 2048})
    decoder = Decoder(config, Weights(random_llama(), precision="fp32"))
    num_pages = max_batch * 2048 // PAGE_SIZE
    cache = PagedCache(config, num_pages=num_pages, dtype=decoder.dtype, device=decoder.device)
    constraints = ConstraintFactory(tokenizer.to_json(), vocab_size=config.vocab_size, eos_ids=tokenizer.eos_ids)
    runner = ModelRunner(decoder, cache, constraints)
    return Engine(
        runner, tokenizer, model_version="tiny", eos_ids=tokenizer.eos_ids, max_context=2048, max_batch=max_batch
    ).start()


def text_of(chunks: Iterable[TokenChunk]) -> tuple[str, str | None]:
    """The text of a whole answer, and why it ended; only the last chunk may say so."""
    chunks = list(chunks)
    assert all(chunk.finish_reason is None for chunk in chunks[:-1])
    return "".join(chunk.text for chunk in chunks), chunks[-1].finish_reason


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once it holds, which another thread brings about; fail after ten seconds."""
    for _ in range(5000):
        if condition():
            return
        threading.Event().wait(0.002)
    raise AssertionError("never")
