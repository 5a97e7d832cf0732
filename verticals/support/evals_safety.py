"""The nightly figures of safety, each beside its baseline. Ignores how they are reported.

Harmful requests need the development data; injected documents and leaks bring their own.
"""

from __future__ import annotations

import math


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a rate (Wilson 1927): honest at 0 and 1, where a bootstrap has no width.

    Raises:
        ValueError: no trials.
    """
    if trials < 1:
        raise ValueError(f"trials: must be at least 1 (got {trials}).")
    z = 1.959964
    share = successes / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
