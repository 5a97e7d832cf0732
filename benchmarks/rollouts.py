"""Versions of the scorecard are exchanged over HTTP while two processes answer: failures, shares and times. A report.

    python -m benchmarks.rollouts --seconds 6

Two servers over one folder and one database, each a process under uvicorn; clients ask both in turn, each subject again
and again. Steps, each held for `--seconds`, are taken through the first: shadow, canary 5 %, canary 30 %, full, rolled
back; a damaged version is then refused, and a server that starts on a damaged version serves the one before it. The
other version is the same scorecard with its effects shrunk by a tenth: a stand-in, not a better model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from benchmarks.finance_setting import TENANT, open_finance, open_kit, random_applications
from service.api import create_app
from service.monitoring import configure_logging
from service.registry import FileRegistry
from verticals.bootstrap import wilson_interval
from verticals.finance.scoring import SCORECARD
from verticals.finance.shipped import REGISTERED

NUM_SUBJECTS, NUM_CLIENTS, FOLLOW_S = 400, 16, 1.5
ROUTE = f"/v1/admin/models/registered/{SCORECARD}"
WHY = {"person": "benchmark", "reason": "benchmarks/rollouts.py"}
HEADER = "trivium-models"


@dataclass
class Seen:
    """What clients saw while a step held."""

    answers: Counter[str] = field(default_factory=Counter)  # by version
    failures: Counter[str] = field(default_factory=Counter)
    by_subject: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unlike: int = 0  # answers whose header and body name different versions
    times_s: list[float] = field(default_factory=list)


def other_version(registry: FileRegistry, shrink: float) -> str:
    """The scorecard in force with its effects shrunk, registered and not in force."""
    found = registry.load(SCORECARD)
    assert found is not None
    files = {name: path.read_bytes() for name, path in found[1].items()}
    card = json.loads(files["scorecard.json"])
    for one in card["features"]:
        one["coefficient"] *= shrink
    files["scorecard.json"] = json.dumps(card).encode()
    about = {name: getattr(found[0], name) for name in REGISTERED}
    return registry.save(SCORECARD, files, about, activate=False).version


@contextmanager
def server(home: Path) -> Iterator[str]:
    """A process that serves the folder; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.rollouts", "--serve", str(port), "--home", str(home)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                httpx.get(f"{url}/livez", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


async def ask(urls: Sequence[str], key: str, seen: Seen, until_s: float) -> None:
    """Clients that ask until the clock says so."""
    bodies = [a.model_dump(mode="json") for a in random_applications(NUM_SUBJECTS, seed=1)]
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=30) as client:

        async def one(number: int) -> None:
            turn = 0
            while time.monotonic() < until_s:
                subject = (number + NUM_CLIENTS * turn) % NUM_SUBJECTS
                body = bodies[subject] | {"application_id": f"a-{subject}"}
                began = time.perf_counter()
                answer = await client.post(f"{urls[turn % len(urls)]}/v1/finance/score", json=body)
                seen.times_s.append(time.perf_counter() - began)
                turn += 1
                if answer.status_code != 200:
                    seen.failures[str(answer.status_code)] += 1
                    continue
                named = dict(part.split("@") for part in answer.headers[HEADER].split(", "))[SCORECARD]
                seen.unlike += answer.json()["model_version"] != f"{SCORECARD}@{named}"
                seen.answers[named] += 1
                seen.by_subject[str(subject)].add(named)

        await asyncio.gather(*(one(number) for number in range(NUM_CLIENTS)))


def row(name: str, asked: float | None, version: str, seen: Seen) -> str:
    """A line of the report; the interval is of subjects, since answers to one subject are not independent."""
    drawn = sum(version in versions for versions in seen.by_subject.values())
    mixed = sum(len(versions) > 1 for versions in seen.by_subject.values())
    low, high = wilson_interval(drawn, len(seen.by_subject))
    times = sorted(seen.times_s)
    cells = (
        name,
        f"{sum(seen.answers.values()):,}",
        f"{sum(seen.failures.values())}",
        "" if asked is None else f"{asked:.0%}",
        f"{drawn / len(seen.by_subject):.1%} ({low:.1%} to {high:.1%})",
        f"{mixed}",
        f"{seen.unlike}",
        f"{1e3 * times[len(times) // 2]:.0f} / {1e3 * times[int(0.99 * len(times))]:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def hold(urls: Sequence[str], key: str, seconds: float) -> Seen:
    """Ask while a step holds."""
    seen = Seen()
    asyncio.run(ask(urls, key, seen, time.monotonic() + seconds))
    return seen


async def over(urls: Sequence[str], key: str, operator: httpx.Client, step: str, body: dict[str, Any]) -> Seen:
    """Ask while a step is taken and followed."""
    seen = Seen()
    asking = asyncio.create_task(ask(urls, key, seen, time.monotonic() + 2 * FOLLOW_S))
    await asyncio.sleep(0.3)
    answer = await asyncio.to_thread(operator.post, f"{ROUTE}/{step}", json=WHY | body)
    answer.raise_for_status()
    await asking
    return seen


def report(home: Path, seconds: float) -> None:
    """Run all steps and print what was seen."""
    registry = FileRegistry(home / "registry")
    with open_finance(home):
        version, damaged = other_version(registry, 0.9), other_version(registry, 0.8)
    kit = open_kit(home)
    key = kit.keys.issue(tenant=TENANT, label="clients")
    operator_key = kit.keys.issue(tenant=TENANT, label="steps", scopes=["models.*"])
    kit.close()
    steps: list[tuple[str, dict[str, Any], float | None]] = [
        ("shadow", {"version": version}, 0.0),
        ("canary", {"share": 0.05}, 0.05),
        ("canary", {"share": 0.3}, 0.3),
        ("full", {}, 1.0),
        ("roll-back", {}, 0.0),
    ]
    print(
        "| step | answers | failures | share asked | subjects that saw it (95 %) | saw both | unlike | ms p50 / p99 |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with server(home) as first, server(home) as second:
        headers = {"Authorization": f"Bearer {operator_key}"}
        with httpx.Client(base_url=first, headers=headers, trust_env=False, timeout=60) as operator:
            for step, body, asked in steps:
                name = f"{step} {body['share']:.0%}" if "share" in body else step
                between = asyncio.run(over((first, second), key, operator, step, body))
                print(row(f"{name}: while it is taken", None, version, between))
                print(row(f"{name}: held", asked, version, hold((first, second), key, seconds)), flush=True)
            counts = operator.get(ROUTE).json()["steps"]
            print(f"steps in the ledger: {len(counts)}")
            damage(home, damaged)
            answer = operator.post(f"{ROUTE}/full", json=WHY | {"version": damaged})
            print(f"a damaged version: {answer.status_code}, {answer.json()['detail']}")
            print(row("after that", 0.0, version, hold((first, second), key, 1.0)))
            operator.post(f"{ROUTE}/full", json=WHY | {"version": version}).raise_for_status()
    damage(home, version)
    with server(home) as again:
        print(row("started on a damaged version in force", 0.0, version, hold((again,), key, 1.0)))
        print(f"/healthz: {httpx.get(f'{again}/healthz', trust_env=False).text}")


def damage(home: Path, version: str) -> None:
    """Cut the end of a version's file off."""
    file = home / "registry" / SCORECARD / version / "scorecard.json"
    file.write_bytes(file.read_bytes()[:-100])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each step is held")
    parser.add_argument("--home", type=Path, help="keep models and database here; else in a folder that is deleted")
    parser.add_argument("--serve", type=int, help="be a server on this port, over --home")
    args = parser.parse_args(argv)
    if args.serve:
        configure_logging("warning", json=True)  # to standard error: the table stands alone
        uvicorn.run(create_app(open_kit(args.home)), port=args.serve, log_config=None, access_log=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        report(args.home or Path(folder), args.seconds)


if __name__ == "__main__":
    main()
