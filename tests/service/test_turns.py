"""Places are shared between tenants: who floods waits for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from service.turns import Overloaded, Turns


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def ask(turns: Turns, tenant: str, order: list[str], gate: asyncio.Event) -> None:
    """One request, which runs until the gate opens."""
    await turns.take(tenant)
    order.append(tenant)
    try:
        await gate.wait()
    finally:
        turns.give_back(tenant)


def begin(*asking: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(one) for one in asking]


def test_one_tenant_leaves_room_for_a_newcomer_who_does_not_wait() -> None:
    async def run() -> list[str]:
        turns, order, gate = Turns(places=4, waiting=100, wait_s=60), list[str](), asyncio.Event()
        tasks = begin(*(ask(turns, "flood", order, gate) for _ in range(50)))
        await settle()
        tasks += begin(ask(turns, "small", order, gate))
        await settle()
        running = list(order)
        gate.set()
        await asyncio.gather(*tasks)
        assert len(order) == 51
        return running

    assert asyncio.run(run()) == ["flood", "flood", "small"]


def test_tenants_that_wait_run_in_turn_however_many_each_has() -> None:
    async def run() -> list[str]:
        turns, order, gate = Turns(places=2, waiting=100, wait_s=60), list[str](), asyncio.Event()
        tasks = begin(*(ask(turns, tenant, order, gate) for tenant in ["a"] * 6 + ["b"] * 3 + ["c"] * 3))
        await settle()
        gate.set()
        await asyncio.gather(*tasks)
        return order

    order = asyncio.run(run())

    assert sorted(order) == ["a"] * 6 + ["b"] * 3 + ["c"] * 3
    assert [order[:9].count(tenant) for tenant in "abc"] in ([4, 3, 2], [3, 3, 3])  # "a" came first


def test_a_full_queue_drops_the_newest_of_the_longest_tenant() -> None:
    async def run() -> list[bool]:
        turns, order, gate = Turns(places=2, waiting=3, wait_s=60), list[str](), asyncio.Event()
        flood = begin(*(ask(turns, "flood", order, gate) for _ in range(5)))  # one runs, three wait, one is refused
        await settle()
        small = begin(*(ask(turns, "small", order, gate) for _ in range(2)))
        await settle()
        gate.set()
        found = await asyncio.gather(*flood, *small, return_exceptions=True)
        return [isinstance(one, Overloaded) for one in found]

    assert asyncio.run(run()) == [False, False, False, True, True, False, False]


def test_nobody_waits_longer_than_the_limit_and_a_place_is_not_lost() -> None:
    async def run() -> None:
        turns = Turns(places=2, waiting=9, wait_s=0.01)
        await turns.take("a")
        with pytest.raises(Overloaded, match="nothing was done") as refusal:
            await turns.take("a")
        assert refusal.value.retry_after_s == 1
        turns.give_back("a")
        await turns.take("a")

    asyncio.run(run())


def test_a_client_that_leaves_while_it_waits_leaves_the_queue() -> None:
    async def run() -> list[str]:
        turns, order, gate = Turns(places=2, waiting=1, wait_s=60), list[str](), asyncio.Event()
        first, second = begin(*(ask(turns, "a", order, gate) for _ in range(2)))
        await settle()
        second.cancel()
        await settle()
        third = begin(ask(turns, "a", order, gate))
        await settle()
        gate.set()
        await asyncio.gather(first, *third)
        return order

    assert asyncio.run(run()) == ["a", "a"]


def test_a_place_that_was_given_to_one_who_left_goes_to_the_next() -> None:
    async def run() -> list[str]:
        turns, order, gate = Turns(places=2, waiting=9, wait_s=60), list[str](), asyncio.Event()
        await turns.take("a")
        second, third = begin(*(ask(turns, "a", order, gate) for _ in range(2)))
        await settle()
        gate.set()
        turns.give_back("a")  # the second is told, and leaves before it hears
        second.cancel()
        await asyncio.gather(third)
        return order

    assert asyncio.run(run()) == ["a"]


@pytest.mark.parametrize("newcomer", [False, True])
def test_one_who_just_left_is_passed_over(newcomer: bool) -> None:
    async def run() -> list[str]:
        turns, order, gate = Turns(places=2, waiting=2, wait_s=60), list[str](), asyncio.Event()
        await turns.take("a")
        *_, left = tasks = begin(*(ask(turns, "a", order, gate) for _ in range(2)))
        await settle()
        left.cancel()  # its task has not heard yet, so it still stands in the queue
        if newcomer:
            await asyncio.gather(*begin(turns.take("b")))
        tasks[0].cancel()
        turns.give_back("a")
        await settle()
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns.take("a")
        return order

    assert asyncio.run(run()) == []
