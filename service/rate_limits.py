"""How many requests a key may send: a token bucket per key, in this process. Ignores requests without a valid key.

Several processes count apart, so the limit of an installation is that of a process times their number.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from verticals.contract import TriviumError

MAX_BUCKETS = 10_000  # then those that are full again are forgotten; customers' keys are many and short-lived


class RateLimited(TriviumError):
    """The key sent too many requests; it may try again in `retry_after_s` seconds."""

    status = 429
    title = "Too many requests"

    def __init__(self, *, limit: int, retry_after_s: int, headers: Mapping[str, str]) -> None:
        self.retry_after_s, self.headers = retry_after_s, headers
        super().__init__(
            f"this key may send {limit} requests a minute",
            field="Authorization",
            remedy=f"Wait {retry_after_s} s, or have TRIVIUM_REQUESTS_PER_MINUTE raised.",
        )


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class RateLimits:
    """A full bucket holds a minute's requests and fills again evenly.

    Args:
        per_minute: Requests of one key.
        clock: Seconds, never going back.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.Lock()

    def take(self, key_id: str) -> Mapping[str, str]:
        """Count one request; gives headers in OpenAI's words (`x-ratelimit-*`), which clients and gateways read.

        Raises:
            RateLimited: the bucket is empty.
        """
        now, rate = self._clock(), self._per_minute / 60
        with self._lock:
            if len(self._buckets) >= MAX_BUCKETS:
                self._buckets = {key: old for key, old in self._buckets.items() if now - old.filled_at < 60}
            bucket = self._buckets.setdefault(key_id, _Bucket(self._per_minute, now))
            bucket.tokens = min(self._per_minute, bucket.tokens + (now - bucket.filled_at) * rate)
            bucket.filled_at = now
            is_empty = bucket.tokens < 1
            bucket.tokens -= 0 if is_empty else 1
            left = bucket.tokens
        headers = {
            "x-ratelimit-limit-requests": str(self._per_minute),
            "x-ratelimit-remaining-requests": str(int(left)),
            "x-ratelimit-reset-requests": f"{math.ceil((self._per_minute - left) / rate)}s",
        }
        if is_empty:
            raise RateLimited(limit=self._per_minute, retry_after_s=math.ceil((1 - left) / rate), headers=headers)
        return headers
