"""How the interpreter looks for garbage while it serves. Ignores what is served."""

from __future__ import annotations

import gc

YOUNG = 20_000  # containers made since the last collection; a request in work holds some fifty
MIDDLE, OLD = 20, 20  # collections of a younger kind before one of the next


def settle() -> None:
    """Call once, when all is built: what is there stays, and what requests leave is looked for less often.

    A collection in mid-answer would walk half a million objects for nothing; and with the usual 700, requests in work
    are taken for old objects and all of them are walked again and again (a fifth of the time of a decision). Nearly all
    garbage is freed at once by its reference count; only cycles wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
