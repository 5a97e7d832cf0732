"""What a durable session costs before the first token, beside the same chat without a session.

    python -m benchmarks.session_overhead [--messages 200]

No model and no articles take part: the time from the request to the first delta is the agent's own, with the message
on disk and the session's memory read in one case and neither in the other. A session has heard five greetings and is
asked once: after two questions without an answer the agent hands over. Both kinds alternate, so that a busy machine
slows both alike. Time by the clock, and processor time, which others on the machine disturb less. SQLite on a disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.crash import Shop
from benchmarks.setting import machine
from service.storage import migrate
from verticals.support import schemas as s
from verticals.support.shop.demo_data import DEMO_CUSTOMER, add_demo_shop

GREETINGS = 5
QUESTION = "What is the capital of France?"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/sessions.db"
        migrate(url)
        shop = Shop(url, "bench")
        add_demo_shop(shop.sessions, "bench")
        rows = _measure(shop, args.messages)
    print(f"# {machine()}; {args.messages} messages of each kind")
    for kind, pairs in rows.items():
        wall_ms, cpu_ms = 1000 * np.array(pairs[5:]).T  # the first ones warm up
        p50, p95, p99 = np.percentile(wall_ms, (50, 95, 99))
        print(
            f"{kind:20} p50 {p50:6.1f} ms  p95 {p95:6.1f} ms  p99 {p99:6.1f} ms  processor {np.median(cpu_ms):5.1f} ms"
        )


def _measure(shop: Shop, count: int) -> dict[str, list[tuple[float, float]]]:
    rows: dict[str, list[tuple[float, float]]] = {"chat, first token": [], "session, first token": []}
    for _ in range(count):
        session = shop.call("create_session", s.CreateSessionRequest(), DEMO_CUSTOMER).session_id
        for _ in range(GREETINGS):
            list(shop.say(session, "Hello", DEMO_CUSTOMER))
        chat = s.ChatRequest(messages=[s.Message(role="user", content=QUESTION)])
        rows["chat, first token"].append(_first_token(lambda: shop.call("chat", chat, DEMO_CUSTOMER)))  # noqa: B023
        rows["session, first token"].append(_first_token(lambda: shop.say(session, QUESTION, DEMO_CUSTOMER)))  # noqa: B023
    return rows


def _first_token(ask: Callable[[], Iterator[s.ChatEvent]]) -> tuple[float, float]:
    """Seconds by the clock and of the processor until the first text; the rest is heard out, unmeasured."""
    wall, cpu = time.perf_counter(), time.process_time()
    events = ask()
    next(event for event in events if event.root.type == "delta")
    taken = time.perf_counter() - wall, time.process_time() - cpu
    list(events)
    return taken


if __name__ == "__main__":
    main()
