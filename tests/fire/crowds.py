"""Crowds: idle connections, slow clients, many streams, and more than can be answered. Ignores what is answered.

    python -m tests.fire.crowds [--only idle slow streams open overload] [--connections 10000] [--streams 1000]

idle      so many connections that say nothing; a customer asks meanwhile; then the server must close them all.
slow      50 heads that come a byte a second, 50 bodies that stop, 10 readers that do not read; a customer asks.
streams   so many chats at once, each answered here; each must end whole or be refused with Retry-After, and then asks
          again.
open      as many streams held open at once, each of a remote engine that takes four minutes to say it.
overload  a tenant with 200 clients that ask without a pause (and without minding Retry-After), then beside it a tenant
          with two; the small one's answers a second and waiting time beside what it has alone, and after the flood.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
import time
from collections import Counter
from typing import Any

import httpx
import numpy as np

from benchmarks.http_load import Target, as_fast_as_answered
from benchmarks.setting import machine
from tests.fire.asking import applications
from tests.fire.server import FORKS, Server, options, running
from tests.fire.upstream import MODEL, upstream

WORDS, APART_S = 16, 15.0  # of an answer that is held open: long enough for all to be let in meanwhile
QUESTION = {"messages": [{"role": "user", "content": "How long can I return a lamp?"}]}


def client(server: Server, *, connections: int = 100) -> httpx.AsyncClient:
    """With a key of its own."""
    return server.client(httpx.AsyncClient, server.issue_key("demo"), timeout_s=300, connections=connections)


async def answers(http: httpx.AsyncClient, *, seconds: float, clients: int) -> tuple[Counter[int], list[float]]:
    """Searches (FastAPI's way, a worker thread each) by so many at once: statuses, and seconds of those answered."""
    statuses, waits, until = Counter[int](), list[float](), time.monotonic() + seconds

    async def ask() -> None:
        while time.monotonic() < until:
            started = time.monotonic()
            answer = await http.post("/v1/support/search", json={"query": "return a lamp"})
            statuses[answer.status_code] += 1
            assert answer.status_code == 200 or "retry-after" in answer.headers, answer.text
            if answer.is_success:
                waits.append(time.monotonic() - started)

    await asyncio.gather(*(ask() for _ in range(clients)))
    return statuses, waits


def told(found: tuple[Counter[int], list[float]], seconds: float) -> str:
    statuses, waits = found
    p50, p99 = np.percentile(waits, [50, 99]) if waits else (float("nan"),) * 2
    return f"{len(waits) / seconds:.1f}/s, p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, statuses {dict(statuses)}"


async def score_quickly(server: Server, seconds: float) -> str:
    """A customer's decisions, one at a time."""
    waits, until = list[float](), time.monotonic() + seconds
    async with client(server) as http:
        while time.monotonic() < until:
            started = time.monotonic()
            (await http.post("/v1/finance/score", json=applications()[0])).raise_for_status()
            waits.append(time.monotonic() - started)
            await asyncio.sleep(0.02)
    return f"{len(waits)} decisions meanwhile, p50 {np.median(waits) * 1e3:.0f} ms, longest {max(waits) * 1e3:.0f} ms"


async def connect(
    server: Server, first: bytes = b"", *, kernel_bytes: int | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose kernel takes at most so many bytes that nobody reads; None: as many as it likes."""
    sock = socket.socket()
    if kernel_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, kernel_bytes)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2**12)
    writer.write(first)
    return reader, writer


async def wait_until_closed(opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]], limit_s: float) -> int:
    """How many the server has not closed after `limit_s`."""

    async def closed(reader: asyncio.StreamReader) -> None:
        try:
            while await reader.read(2**16):
                pass
        except ConnectionError:
            pass

    waiting = [asyncio.create_task(closed(reader)) for reader, _ in opened]
    _, left = await asyncio.wait(waiting, timeout=limit_s)
    for task in left:
        task.cancel()
    for _, writer in opened:
        writer.close()
    return len(left)


async def idle(server: Server, connections: int, _streams: int, seconds: float) -> int:
    before, started = server.resident_mib(), time.monotonic()
    opened = [await connect(server) for _ in range(connections)]
    print(f"  {connections} connections in {time.monotonic() - started:.1f} s", flush=True)
    print(f"  {await score_quickly(server, 3)}; {server.resident_mib() - before:.0f} MiB more resident", flush=True)
    left = await wait_until_closed(opened, 60)
    print(f"  all closed after {time.monotonic() - started:.0f} s" if not left else f"  {left} are still open")
    return left


async def slow(server: Server, _connections: int, _streams: int, seconds: float) -> int:
    key, head = server.issue_key("demo"), "POST /v1/finance/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
    body = f"{head}{key}\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{{".encode()
    reading = f"GET /openapi.json HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n".encode()
    opened = [await connect(server) for _ in range(50)] + [await connect(server, body) for _ in range(50)]
    # 20 answers of some 400 kB that nobody reads
    stuck = [await connect(server, reading * 20, kernel_bytes=2**16) for _ in range(10)]

    async def dribble() -> None:
        for byte in head.encode():
            for _, writer in opened[:50]:
                if not writer.is_closing():
                    writer.write(bytes([byte]))
            await asyncio.sleep(1)

    dribbling, started = asyncio.create_task(dribble()), time.monotonic()
    print(f"  {await score_quickly(server, seconds)}", flush=True)
    left = await wait_until_closed(opened, 60)
    dribbling.cancel()
    print(f"  heads and bodies: {left} open after {time.monotonic() - started:.0f} s", flush=True)
    await asyncio.sleep(max(0, 60 - (time.monotonic() - started)))
    log = (server.home / "server.log").read_text()
    cut = log.count("its reader stood still")
    print(f"  readers: {cut} of {len(stuck)} closed")
    for _, writer in stuck:
        writer.close()
    return left + (len(stuck) - cut)


def said(lines: list[str]) -> str | None:
    """The text of an answer's events; None if it did not end well."""
    if not lines or lines[-1] != "data: [DONE]":
        return None
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    if any("error" in event for event in events):
        return None
    deltas = [event.get("text") or "" for event in events if event.get("type") == "delta"]  # ours
    deltas += [choice["delta"].get("content") or "" for event in events for choice in event.get("choices", ())]
    return "".join(deltas)


async def chats(server: Server, path: str, body: dict[str, Any], streams: int) -> int:
    """So many streams of the same question at once; how many did not end well, or said something else."""
    counts, texts, open_now, most = Counter[str](), Counter[str | None](), 0, 0
    started, firsts, refusals = time.monotonic(), list[float](), list[int]()

    async with client(server, connections=streams) as http:

        async def one() -> float:
            """Seconds to wait before asking again; 0 when it ended."""
            nonlocal open_now, most
            began, lines = time.monotonic(), list[str]()
            async with http.stream("POST", path, json=body) as answer:
                if not answer.is_success:
                    counts[f"refused {answer.status_code}"] += 1
                    return float(answer.headers["retry-after"])
                async for line in answer.aiter_lines():
                    if not lines:
                        firsts.append(time.monotonic() - began)
                        open_now += 1
                        most = max(most, open_now)
                    lines += [line] if line else []
                open_now -= 1
                texts[said(lines)] += 1
                return 0

        async def chat() -> None:
            try:
                asked = 1
                while wait_s := await one():
                    asked += 1
                    await asyncio.sleep(wait_s)
                refusals.append(asked - 1)
            except httpx.TransportError as error:
                counts[type(error).__name__] += 1

        await asyncio.gather(*(chat() for _ in range(streams)))
    whole = max((number for text, number in texts.items() if text), default=0)
    print(
        f"  {whole} of {streams} whole and the same in {time.monotonic() - started:.0f} s; at most {most} open at once"
    )
    print(f"  {dict(counts)}; asked again at most {max(refusals, default=0)} times", flush=True)
    p50, p99 = np.percentile(firsts, [50, 99])
    print(
        f"  first event of those admitted: p50 {p50:.1f} s, p99 {p99:.1f} s; {server.resident_mib():.0f} MiB resident"
    )
    return streams - whole


async def streams(server: Server, _connections: int, streams: int, _seconds: float) -> int:
    return await chats(server, "/v1/support/chat", QUESTION, streams)


async def open_streams(server: Server, _connections: int, streams: int, _seconds: float) -> int:
    async with upstream(WORDS, apart_s=APART_S) as address:
        again = Server(
            server.home,
            server.database_url,
            {"TRIVIUM_ENGINE": "openai", "TRIVIUM_OPENAI_BASE_URL": address, "TRIVIUM_OPENAI_MODEL": MODEL},
        )
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(again.start)
        try:
            body = {**QUESTION, "model": "trivium-core", "stream": True}
            return await chats(again, "/v1/chat/completions", body, streams)
        finally:
            await asyncio.to_thread(again.stop)
            await asyncio.to_thread(server.start)


def flood(server_port: int, server_pid: int, key: str, seconds: float) -> None:
    """200 connections that ask again as soon as they are answered; in a process of its own."""
    head = f"POST /v1/support/search HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    head += "content-type: application/json\r\n"
    target = Target(server_port, server_pid, head.encode(), [b'{"query": "return a lamp"}'])
    load = asyncio.run(as_fast_as_answered(target, connections=200, seconds=seconds))
    refused = load.failures / seconds
    print(
        f"  flood:        {load.per_s - refused:.1f}/s answered, {refused:.1f}/s refused; "
        f"p50 {load.p50_ms:.0f} ms, p99 {load.p99_ms:.0f} ms",
        flush=True,
    )


async def overload(server: Server, _connections: int, _streams: int, seconds: float) -> int:
    key = server.issue_key("flood")
    async with client(server) as small:
        await answers(small, seconds=2, clients=2)
        print(f"  small alone:  {told(await answers(small, seconds=seconds, clients=2), seconds)}", flush=True)
        flooding = FORKS.Process(target=flood, args=(server.port, server.pid, key, seconds + 4))
        flooding.start()
        await asyncio.sleep(3)
        found = await answers(small, seconds=seconds, clients=2)
        print(f"  small beside: {told(found, seconds)}", flush=True)
        await asyncio.to_thread(flooding.join)
        after = await answers(small, seconds=seconds, clients=2)
        print(f"  small after:  {told(after, seconds)}")
    return sum(count for status, count in (found[0] + after[0]).items() if status != 200)


CROWDS = {"idle": idle, "slow": slow, "streams": streams, "open": open_streams, "overload": overload}


def main() -> None:
    """Each crowd; exit 1 if a client was left hanging or the small tenant was refused."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CROWDS), default=list(CROWDS))
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"# {machine()}, {asked.database}, at most {hard} open files a process")
    faults = 0
    with running(asked.prepared, asked.database, {"TRIVIUM_LOG_LEVEL": "info"}) as server:
        for name in asked.only:
            print(name, flush=True)
            faults += asyncio.run(CROWDS[name](server, asked.connections, asked.streams, asked.seconds))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
