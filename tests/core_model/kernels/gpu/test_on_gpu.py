"""Without a GPU, or with the interpreter set, nobody runs kernels by accident."""

from __future__ import annotations

import os

import pytest
import torch

from core_model.kernels.on_gpu import missing_here, why_not


def test_a_cpu_has_no_kernels_of_a_gpu() -> None:
    assert why_not(torch.device("cpu")) == "no CUDA device"
    assert (missing_here() is None) == (not torch.cuda.is_available())


def test_the_interpreter_is_no_gpu() -> None:
    pytest.importorskip("triton", reason="needs the extra `cuda`")
    assert (why_not(torch.device("cuda")) == "") == (os.environ["TRITON_INTERPRET"] != "1")
