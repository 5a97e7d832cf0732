"""Tiny seeded models and tokenizers: every core test runs on them, on a CPU, in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.engine import Engine
from core_model.model import Decoder
from core_model.tokenizer import Tokenizer
from tests.core_model.fake_runner import FakeRunner
from tests.core_model.tiny import LLAMA, make_decoder, make_tokenizer, random_llama


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny models gain nothing from threads, and tests that run side by side lose much."""
    torch.set_num_threads(1)


@pytest.fixture
def llama_config() -> dict[str, Any]:
    """config.json of a tiny dense Llama."""
    return dict(LLAMA)


@pytest.fixture
def llama_tensors() -> dict[str, Tensor]:
    """Random weights for `llama_config`."""
    return random_llama()


@pytest.fixture
def decoder() -> Decoder:
    """The tiny Llama in fp32."""
    return make_decoder("fp32")


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Bytes as tokens (256), and three special ones."""
    return make_tokenizer()


@pytest.fixture
def start(tokenizer: Tokenizer) -> Iterator[Callable[..., Engine]]:
    """Start an engine over a runner; closed at the end of the test."""
    engines: list[Engine] = []

    def make(runner: Any, **options: Any) -> Engine:
        settings = {"model_version": "fake-1", "eos_ids": tokenizer.eos_ids, "max_context": 64, "max_batch": 4}
        engines.append(Engine(runner, tokenizer, **{**settings, **options}).start())
        return engines[-1]

    yield make
    for engine in engines:
        if isinstance(engine._runner, FakeRunner):
            engine._runner.gate.set()
        engine.close()
