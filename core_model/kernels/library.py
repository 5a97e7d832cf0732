"""The compiled kernels: found beside this file, opened at a level that the CPU has. Ignores weights and models.

The package builds them where a C++ compiler is; without them everything runs on torch.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import CDLL, c_int, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from core_model.kernels.memory import WeightMemory
from core_model.kernels.structs import Call, Matrix, Model

Level = Literal["portable", "avx2", "vnni"]
LEVELS: tuple[Level, ...] = get_args(Level)  # rising; the index is the C++ side's number
_VERSION = 1  # of the C interface
_FILES = "_cpu*.so"


@dataclass(frozen=True)
class Status:
    """Which level runs here, None if none, and why it is not a better one, with what to do; empty if it is the best."""

    level: Level | None
    why: str = ""


def status() -> Status:
    """What `open_kernels` would use."""
    try:
        library = _load()
    except ValueError as error:
        return Status(None, str(error))
    level = LEVELS[library.trivium_best_level()]
    why = {"portable": "this CPU has no AVX2", "avx2": "this CPU has no AVX-512 VNNI", "vnni": ""}
    return Status(level, why[level])


def open_kernels(*, num_threads: int, level: Level | None = None) -> Kernels:
    """The kernels, with threads of their own.

    Args:
        num_threads: That work together, the caller's among them.
        level: None is the best that the CPU has.

    Raises:
        ValueError: not compiled, compiled from other sources, or the CPU lacks the level.
    """
    library = _load()
    best = library.trivium_best_level()
    number = best if level is None else LEVELS.index(level)
    if number > best:
        raise ValueError(f"level: this CPU runs {LEVELS[best]!r} at best (got {level!r}). Leave it out.")
    if num_threads < 1:
        raise ValueError(f"num_threads: must be 1 or more (got {num_threads}).")
    return Kernels(library, number, num_threads)


class Kernels:
    """Threads, what they can compute, and memory for weights. Calls from several threads take turns."""

    def __init__(self, library: CDLL, level: int, num_threads: int) -> None:
        self.memory = WeightMemory()
        self.level, self.num_threads = LEVELS[level], num_threads
        self._library, self._level = library, level
        self._handle, self._process = self._open(), os.getpid()

    def linear(self, matrix: Matrix, x_NI: Tensor) -> Tensor:
        """x W^T + b, (N, O) fp32, for any strides and float dtype of x.

        Raises:
            ValueError: x has other inputs than the matrix, or none.
        """
        if x_NI.ndim != 2 or x_NI.shape[1] != matrix.inputs or x_NI.device.type != "cpu":
            raise ValueError(f"x: must be (rows, {matrix.inputs}) on the CPU (got {list(x_NI.shape)}, {x_NI.device}).")
        width = -(-matrix.outputs // 16) * 16
        out_NO = torch.empty(len(x_NI), width)
        if len(x_NI):
            x_NI = x_NI.to(torch.float32).contiguous()
            self._check(
                self._library.trivium_linear(
                    self._team(), matrix, x_NI.data_ptr(), len(x_NI), out_NO.data_ptr(), width
                ),
                "the matrix or its rows",
            )
        return out_NO[:, : matrix.outputs]

    def call(self, model: Model, call: Call) -> None:
        """Run a call of the decoder; what it points to must stay where it is meanwhile.

        Raises:
            ValueError: positions, pages or tokens that do not fit together.
        """
        self._check(self._library.trivium_call(self._team(), model, call), "positions, pages and tokens")

    def _team(self) -> c_void_p:
        if self._process != os.getpid():  # threads do not survive a fork
            self._handle, self._process = self._open(), os.getpid()
        return self._handle

    def _open(self) -> c_void_p:
        handle = self._library.trivium_open(self._level, self.num_threads)
        if not handle:
            raise ValueError(f"num_threads: no memory for {self.num_threads} threads. Use fewer.")
        return c_void_p(handle)

    @staticmethod
    def _check(result: int, what: str) -> None:
        if result == 2:
            raise MemoryError("kernels: no memory for this many tokens.")
        if result:
            raise ValueError(f"kernels: {what} do not fit together.")

    def __del__(self) -> None:
        if getattr(self, "_process", None) == os.getpid():
            self._library.trivium_close(self._handle)


def _load() -> CDLL:
    found = sorted(Path(__file__).parent.glob(_FILES))
    if not found:
        raise ValueError("not compiled: install a C++ compiler (Debian: apt-get install g++) and the package again")
    try:
        library = CDLL(str(found[0]))
        version = library.trivium_version()
    except (OSError, AttributeError) as error:
        raise ValueError(f"{found[0].name} cannot be loaded ({error}): install the package again") from error
    if version != _VERSION:
        raise ValueError(f"{found[0].name} is of version {version}, not {_VERSION}: install the package again")
    matrix = ctypes.POINTER(Matrix)
    library.trivium_open.argtypes, library.trivium_open.restype = (c_int, c_int), c_void_p
    library.trivium_close.argtypes, library.trivium_close.restype = (c_void_p,), None
    library.trivium_call.argtypes = (c_void_p, ctypes.POINTER(Model), ctypes.POINTER(Call))
    library.trivium_linear.argtypes = (c_void_p, matrix, c_void_p, c_int, c_void_p, c_int64)
    return library
