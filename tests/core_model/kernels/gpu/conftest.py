"""Triton's interpreter in place of a GPU: set before the first import of triton. TRITON_INTERPRET=0 runs on a GPU.

The interpreter's products of bf16 are wrong without a word, so kernels are compared in fp32 and fp16.
"""

from __future__ import annotations

import os

import pytest
import torch

os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture
def device() -> torch.device:
    """Where kernels run."""
    return torch.device("cpu" if os.environ["TRITON_INTERPRET"] == "1" else "cuda")
