"""Where a process that serves takes memory from, and how it looks for garbage. Ignores what is served."""

from __future__ import annotations

import ctypes
import gc
import sys

M_ARENA_MAX, ARENAS = -8, 2  # malloc.h
YOUNG = 20_000  # containers made since the last collection; a request in work holds some fifty
MIDDLE, OLD = 20, 20  # collections of a younger kind before one of the next


def share_arenas() -> None:
    """Call before threads are there: they take memory from few places, with glibc; elsewhere nothing is done.

    By default each of some sixteen threads has a place of its own, and each of those stays as large as it ever was: the
    resident memory of a server grows for an hour by what is free, but elsewhere.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_ARENA_MAX, ARENAS)


def settle() -> None:
    """Call once, when all is built: what is there stays, and what requests leave is looked for less often.

    A collection in mid-answer would walk half a million objects for nothing; and with the usual 700, requests in work
    are taken for old objects and all of them are walked again and again (a fifth of the time of a decision). Nearly all
    garbage is freed at once by its reference count; only cycles wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
