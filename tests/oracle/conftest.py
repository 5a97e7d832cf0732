"""transformers' own classes as oracles, and the embedded GGUF read by both sides once per session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.embedded import find_gguf
from core_model.formats.gguf_file import GGUFFile
from core_model.quantized_weight import QuantizedWeight
from core_model.tokenizer import Tokenizer, tokenizer_from_gguf

PROSE = (
    "The library stood at the corner of two quiet streets. Every morning an old man opened its doors, swept the "
    "steps, and put a pot of tea on the stove before the first readers came. In 1987 there were 214 of them; by "
    "winter, twice as many. They asked for maps, for novels, for the price of wheat in 1912, and once for a recipe "
    "that needed no salt. He answered what he could, wrote down what he could not, and never told anyone that he had "
    "not read a book to its end since his daughter left for the sea.\n\n"
    "Q: What is 12 + 30?\nA: 42\n\ndef area(width, height):\n    return width"
)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny models gain nothing from threads, and tests that run side by side lose much."""
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Dense:
    """The embedded GGUF as our reader sees it: config.json keys, fp32 tensors, and tokens of a text."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    token_ids: list[int]


@pytest.fixture(scope="session")
def dense() -> Dense:
    source = GGUFFile(find_gguf())
    tokenizer = Tokenizer(tokenizer_from_gguf(source.metadata), eos_ids=frozenset({2}))
    weights = source.weights().items()
    tensors = {n: w.dequantize() if isinstance(w, QuantizedWeight) else w.float() for n, w in weights}
    return Dense(source.config(), tensors, tokenizer.encode(PROSE))


@pytest.fixture(scope="session")
def llama() -> Any:
    """transformers' LlamaForCausalLM of the same file, fp32."""
    from transformers import AutoModelForCausalLM

    path = find_gguf()
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
