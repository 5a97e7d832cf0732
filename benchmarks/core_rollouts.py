"""The core goes by the steps of a rollout while a server answers chats: failures, shares, mixed conversations, times.

    python -m benchmarks.core_rollouts --url http://127.0.0.1:8000 --key KEY --folder FOLDER --seconds 20

The server is yours; KEY covers `core.generate` and `models.*`, FOLDER is another model among its models. Clients hold
conversations, each told apart by `user`; a step is taken, held, and the next one taken. It ends rolled back.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from verticals.bootstrap import wilson_interval

STEPS = "/v1/admin/models/registered/core"
WHY = {"person": "benchmark", "reason": "benchmarks/core_rollouts.py"}
QUESTIONS = ("How long can I return a lamp?", "What is a credit score?", "Say a word about rain.")


@dataclass
class Seen:
    """What clients saw while a step held, or was taken."""

    answers: Counter[str] = field(default_factory=Counter)  # by the header's version, "none" without
    failures: Counter[int] = field(default_factory=Counter)
    by_talk: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    times_s: list[float] = field(default_factory=list)


async def ask(client: httpx.AsyncClient, seen: Seen, clients: int, talks: int, until_s: float) -> None:
    """Clients that ask until the clock says so."""

    async def one(number: int) -> None:
        turn = 0
        while time.monotonic() < until_s:
            talk, turn = f"talk-{(number + clients * turn) % talks}", turn + 1
            message = {"role": "user", "content": QUESTIONS[turn % len(QUESTIONS)]}
            body = {"model": "trivium-core", "user": talk, "messages": [message], "max_tokens": 16}
            began = time.perf_counter()
            answer = await client.post("/v1/chat/completions", json=body)
            if answer.status_code != 200:
                seen.failures[answer.status_code] += 1
                continue
            version = answer.headers.get("trivium-models", "core@none").partition("@")[2]
            seen.times_s.append(time.perf_counter() - began)
            seen.answers[version] += 1
            seen.by_talk[talk].add(version)

    await asyncio.gather(*(one(number) for number in range(clients)))


def row(name: str, version: str, seen: Seen) -> str:
    """A line of the report; the interval is Wilson's 95 %, of conversations."""
    drawn, mixed = (sum(map(test, seen.by_talk.values())) for test in (lambda v: version in v, lambda v: len(v) > 1))
    low, high = wilson_interval(drawn, len(seen.by_talk))
    times = sorted(seen.times_s)
    share = f"{drawn / len(seen.by_talk):.1%} ({low:.1%} to {high:.1%})"
    middle, late = (1e3 * times[int(part * (len(times) - 1))] for part in (0.5, 0.99))
    told = (seen.answers.total(), seen.failures.total(), share, mixed, f"{middle:.0f} / {late:.0f}")
    return f"| {name} | {' | '.join(map(str, told))} |"


async def report(args: argparse.Namespace) -> None:
    """Take all steps and print what was seen."""
    headers = {"Authorization": f"Bearer {args.key}"}
    async with httpx.AsyncClient(base_url=args.url, headers=headers, trust_env=False, timeout=300) as client:

        async def post(path: str, body: dict[str, Any]) -> Any:
            answer = await client.post(path, json=body)
            answer.raise_for_status()
            return answer.json()

        version = (await post("/v1/admin/models/core/versions", {"folder": args.folder}))["version"]
        print("| step | answers | failures | conversations that saw it (95 %) | saw both | ms p50 / p99 |")
        print("| --- | --- | --- | --- | --- | --- |")
        for step, body in (
            ("shadow", {"version": version}),
            ("canary", {"share": 0.3}),
            ("full", {}),
            ("roll-back", {}),
        ):
            taking, held = Seen(), Seen()
            asking = asyncio.create_task(ask(client, taking, args.clients, args.talks, time.monotonic() + args.seconds))
            began = time.perf_counter()
            await post(f"{STEPS}/{step}", WHY | body)
            took_s = time.perf_counter() - began
            await asking
            print(row(f"{step}, while it is taken ({took_s:.2f} s)", version, taking))
            await ask(client, held, args.clients, args.talks, time.monotonic() + args.seconds)
            print(row(f"{step}, held", version, held), flush=True)
            await asyncio.sleep(2)  # the counts are written once a second
            print(f"| {step}, counts | {(await client.get(STEPS)).json()['counts']} | | | | |")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each step is held")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--talks", type=int, default=100)
    asyncio.run(report(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
