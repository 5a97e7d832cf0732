"""Which server a prompt goes to."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from core_model.affinity import beginning, choose

SERVERS = ["a:1", "b:1", "c:1", "d:1"]
IDLE = dict.fromkeys(SERVERS, 0)


def body(**asked: Any) -> bytes:
    return json.dumps({"model": "m", **asked}).encode()


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def test_a_conversation_keeps_its_beginning_and_others_have_their_own() -> None:
    system, first = said("system", "Be brief."), said("user", "Hi")
    start = beginning(body(messages=[system, first]))

    assert beginning(body(messages=[system, first, said("assistant", "Hello"), said("user", "Bye")])) == start
    assert beginning(body(messages=[system, first], temperature=1.0)) == start
    assert beginning(body(messages=[system, said("user", "Ho")])) != start
    assert beginning(body(messages=[system, first], model="n")) != start


def test_a_prompt_of_tokens_begins_with_its_first() -> None:
    long = list(range(300))

    assert beginning(body(prompt=long)) == beginning(body(prompt=long[:256]))
    assert beginning(body(prompt=long)) != beginning(body(prompt=long[:255]))


def test_what_is_no_prompt_is_its_own_beginning() -> None:
    for odd in (b"no JSON", b"[1]", b'{"messages": 3}', b'{"input": "x"}'):
        assert beginning(odd) == odd


def test_every_server_gets_about_its_share_and_keeps_it_when_another_goes() -> None:
    keys = [str(number).encode() for number in range(400)]
    before = [choose(key, IDLE) for key in keys]
    after = [choose(key, {name: 0 for name in SERVERS if name != "b:1"}) for key in keys]

    assert set(Counter(before)) == set(SERVERS)
    assert min(Counter(before).values()) > 60
    assert all(was == now for was, now in zip(before, after, strict=True) if was != "b:1")
    assert len(set(after)) == 3


def test_one_popular_beginning_does_not_drown_its_server() -> None:
    running = dict(IDLE)
    for _ in range(40):
        running[choose(b"popular", running)] += 1

    assert max(running.values()) <= 13  # 1.25 times the mean, rounded up
    assert running[choose(b"popular", IDLE)] == max(running.values())
