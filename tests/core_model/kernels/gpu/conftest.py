"""Triton's interpreter in place of a GPU: set before the first import of triton. TRITON_INTERPRET=0 runs on a GPU.

The interpreter's products of bf16 are wrong without a word, so kernels are compared in fp32 and fp16.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def device() -> Iterator[torch.device]:
    """Where kernels run, and where tests make their tensors unless they say otherwise."""
    where = torch.device("cpu" if os.environ["TRITON_INTERPRET"] == "1" else "cuda")
    with where:
        yield where
