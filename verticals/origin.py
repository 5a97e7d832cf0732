"""Fingerprints of what a model was trained on, for its card. Ignores what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def sha256_of_arrays(arrays: Iterable[NDArray[np.generic]]) -> str:
    """SHA-256 over types, shapes and contents, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
