"""Mixed load on all three verticals at 80 % of what the service can do: rate, waiting times, errors, memory.

    python -m tests.fire.endurance [--minutes 60] [--ramp-s 20] [--share 0.8] [--database postgresql]

First a ramp: 1, 2, 4, ... customers that ask without a pause (of twenty requests fifteen are decisions, two images with
their signature, three conversations), until twice as many bring less than a tenth more; the most that was answered a
second is the capacity. Then for `--minutes` requests come at given times at `--share` of it (open loop: a wait for a
free customer counts). Every second the process's resident memory is read; the slope is by least squares after the first
quarter, with a 95 % interval from ten blocks (so that neighbouring readings do not count as many).
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable

import httpx
import numpy as np

from benchmarks.setting import machine
from tests.fire.asking import Customer, Told
from tests.fire.kills import TENANT, look
from tests.fire.server import Server, options, running

MOST_AT_ONCE = 64
T_95 = 2.262  # Student, 9 degrees of freedom


def next_ask(customer: Customer, draw: random.Random) -> Callable[[], Awaitable[bool]]:
    """What comes next in the mix."""
    number = draw.randrange(20)
    return customer.score if number < 15 else customer.read_study if number < 17 else customer.talk


async def find_capacity(customer: Customer, ramp_s: float, draw: random.Random) -> float:
    """Requests a second that are answered when nobody waits between two."""
    best, clients = 0.0, 1
    while clients <= MOST_AT_ONCE:
        until, done = time.monotonic() + ramp_s, 0

        async def ask(until: float = until) -> None:
            nonlocal done
            while time.monotonic() < until:
                done += await next_ask(customer, draw)()

        await asyncio.gather(*(ask() for _ in range(clients)))
        rate = done / ramp_s
        print(f"  {clients} customers: {rate:.1f}/s", flush=True)
        if rate < 1.1 * best:
            return max(best, rate)
        best, clients = rate, clients * 2
    return best


async def endure(
    server: Server, customer: Customer, per_s: float, seconds: float, draw: random.Random
) -> tuple[list[float], int, list[float]]:
    """Waiting times from when each was due, how many were refused, and MiB resident a second."""
    waits, refused, memory, running_now = list[float](), 0, list[float](), set[asyncio.Task[None]]()
    started = time.monotonic()

    async def one(due_s: float) -> None:
        nonlocal refused
        good = await next_ask(customer, draw)()
        waits.append(time.monotonic() - due_s)
        refused += not good

    sent = 0
    while (now := time.monotonic()) < started + seconds:
        while (due := started + sent / per_s) <= now:
            sent += 1
            task = asyncio.create_task(one(due))
            running_now.add(task)
            task.add_done_callback(running_now.discard)
        if now - started >= len(memory):
            memory.append(server.resident_mib())
            if len(memory) % 60 == 0:
                print(
                    f"  {len(memory) // 60} min: {len(waits)} answered, {refused} refused, {memory[-1]:.0f} MiB",
                    flush=True,
                )
        await asyncio.sleep(0.002)
    await asyncio.gather(*running_now)
    return waits, refused, memory


def slope(memory: list[float]) -> tuple[float, float]:
    """MiB an hour after the first quarter, and half of its 95 % interval: the slopes of ten blocks' means."""
    later = np.array(memory[len(memory) // 4 :])
    blocks = np.array([block.mean() for block in np.array_split(later, 10)])
    per_block_h = len(later) / 10 / 3600
    x = np.arange(10) * per_block_h
    fitted, cov = np.polyfit(x, blocks, 1, cov=True)
    return float(fitted[0]), float(T_95 * np.sqrt(cov[0, 0]))


def main() -> None:
    """Ramp, endure, look; exit 1 if anything was an error, lost or doubled."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--ramp-s", type=float, default=20)
    parser.add_argument("--share", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    print(f"# {machine()}, {asked.database}")
    with running(asked.prepared, asked.database) as server:
        key = server.issue_key(TENANT)

        async def run() -> tuple[list[float], int, list[float], Told]:
            async with server.client(httpx.AsyncClient, key, timeout_s=120, connections=256) as http:
                customer = Customer(http, told := Told())
                for ask in (customer.score, customer.read_study, customer.talk):
                    await ask()  # each vertical's first is slow
                capacity = await find_capacity(customer, asked.ramp_s, draw)
                rate = capacity * asked.share
                print(f"capacity {capacity:.1f}/s; {asked.share:.0%} of it for {asked.minutes} minutes", flush=True)
                return *await endure(server, customer, rate, asked.minutes * 60, draw), told

        waits, refused, memory, told = asyncio.run(run())
        failures = server.unexpected_failures()
        found = look(server, told)
    p50, p99 = np.percentile(waits, [50, 99])
    per_hour, half = slope(memory)
    print(
        f"{len(waits)} asked, {len(waits) / asked.minutes / 60:.1f}/s; p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms"
    )
    print(f"{refused} refused, {len(told.errors)} errors, {failures} unexpected failures in the log")
    print(f"resident {memory[0]:.0f} -> {memory[-1]:.0f} MiB, most {max(memory):.0f}")
    print(f"slope {per_hour:+.1f} MiB an hour (95 % {per_hour - half:+.1f} to {per_hour + half:+.1f})")
    print(", ".join(f"{what} {count}" for what, count in found.items()))
    for error in told.errors[:5]:
        print(f"error: {error}")
    sys.exit(1 if told.errors or failures or any(found.values()) else 0)


if __name__ == "__main__":
    main()
