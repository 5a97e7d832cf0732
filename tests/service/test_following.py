"""A process goes on following the others, whatever one look at them meets."""

from __future__ import annotations

import threading

from service.following import Follower
from verticals.contract import Conflict


def test_a_look_that_fails_is_not_the_last() -> None:
    num_looks, has_looked_again = 0, threading.Event()

    def refresh() -> None:
        nonlocal num_looks
        num_looks += 1
        if num_looks == 1:  # another process took a failing canary back at the same time
            raise Conflict("somebody took a step with this model at the same time")
        has_looked_again.set()

    follower = Follower(refresh)
    follower.start()
    try:
        assert has_looked_again.wait(30)
    finally:
        follower.stop()
