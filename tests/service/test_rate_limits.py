"""A bucket of requests per key, told in headers that clients read."""

from __future__ import annotations

from pathlib import Path

import httpx
import openai
import pytest

from service.kit import Kit
from service.rate_limits import MAX_BUCKETS, RateLimited, RateLimits
from tests.fake_kit import make_kit


class Clock:
    """Seconds that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return make_kit(tmp_path, {}, settings={"requests_per_minute": 2})


def test_a_bucket_empties_and_fills_again() -> None:
    clock = Clock()
    limits = RateLimits(2, clock=clock)

    assert limits.take("a")["x-ratelimit-remaining-requests"] == "1"
    limits.take("a")
    with pytest.raises(RateLimited, match="2 requests a minute") as refusal:
        limits.take("a")
    assert refusal.value.retry_after_s == 30
    limits.take("b")
    clock.now_s = 30
    limits.take("a")


def test_a_forgotten_key_has_a_full_bucket_and_a_busy_one_is_not_forgotten() -> None:
    clock = Clock()
    limits = RateLimits(1, clock=clock)
    for number in range(MAX_BUCKETS - 1):
        limits.take(str(number))
    clock.now_s = 59
    limits.take("busy")
    clock.now_s = 61

    assert limits.take("0")["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(RateLimited, match="1 requests a minute"):
        limits.take("busy")


def test_the_limit_is_told_before_and_when_it_is_reached(url: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    answers = [httpx.get(f"{url}/v1/verticals", headers=headers, trust_env=False) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[1].headers["x-ratelimit-remaining-requests"] == "0"
    assert int(answers[2].headers["retry-after"]) in (29, 30)
    assert answers[2].json()["title"] == "Too many requests"


def test_openais_client_knows_the_error(url: str, key: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, http_client=httpx.Client(trust_env=False), max_retries=0)
    client.models.list()
    client.models.list()

    with pytest.raises(openai.RateLimitError, match="2 requests a minute"):
        client.models.list()
