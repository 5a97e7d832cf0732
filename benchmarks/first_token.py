"""The first token of a support answer over HTTP, guards on, embedded models: what a customer's client waits for.

    python -m benchmarks.first_token [--passes 3] [--questions 156]

A server process, as `trivium up` runs it, over the demo shop on SQLite; this process is the client, with a customer's
key. Questions: the answerable ones of verticals/support/knowledge/questions.jsonl (synthetic), each the first message
of a new session. Time from sending until the first text is here; that the session was made before is not counted.
The first pass meets a server that has just started and has answered nothing ("cold"), the next ones ask the same again
("warm"). "Not the model" leaves out what language model and encoders take of that time, tokens to vectors: the server
process watches their classes, and its clock is this one's (CLOCK_MONOTONIC). Processor time is the server's.
"""

from __future__ import annotations

import argparse
import functools
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.setting import MODELS, machine
from core_model.embedded import prepare_default_model
from core_model.model import Decoder
from retrieval.embed import MiniLMEmbedder
from service.monitoring import configure_logging
from service.settings import Settings
from service.up import serve
from service.wiring import DEMO_TENANT, build
from verticals.support.evals_questions import load_questions
from verticals.support.shop.demo_data import DEMO_CUSTOMER
from verticals.support.understanding.messages import MessageReader

PATH = "/v1/support/sessions"
MODELS_AT_WORK = ((MiniLMEmbedder, "embed"), (MessageReader, "read"), (Decoder, "__call__"))
Work = tuple[float, float, float]  # begin and end in seconds of this machine's clock, processor seconds


def main() -> None:
    """Measure and print; with --prepare or --serve, be the server."""
    args = _arguments()
    if args.prepare:
        with_support = build(_settings(args.home), on_progress=_silent)
        with_support.verticals["support"].demo(with_support.resources, _silent)
        with_support.close()
    elif args.serve:
        _serve(args.home)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), args.passes, args.questions)


def _measure(home: Path, num_passes: int, num_questions: int) -> None:
    questions = [q.text for split in ("dev", "test") for q in load_questions(split) if q.doc_ids][:num_questions]
    subprocess.run(_command(home, "--prepare"), check=True)
    with _server(home) as (process, client):
        asked = [[client.first_token(process.pid, text) for text in questions] for _ in range(num_passes)]
    work: list[Work] = [tuple(one) for one in json.loads((home / "work.json").read_text("utf-8"))]
    print(f"# {machine()}; {len(questions)} questions, {num_passes} passes")
    _show("cold", asked[0], work)
    _show("warm", [one for again in asked[1:] for one in again], work)


def _show(name: str, asked: Sequence[Work], work: Sequence[Work]) -> None:
    """Print percentiles of the whole and of what is not the model."""
    rows = []
    for begin, end, cpu_s in asked:
        inside = [(last - first, spent) for first, last, spent in work if begin <= first and last <= end]
        model_s, model_cpu_s = np.sum(inside, axis=0) if inside else (0.0, 0.0)
        rows.append((end - begin, cpu_s, end - begin - model_s, cpu_s - model_cpu_s, len(inside)))
    if not rows:
        return
    *times, passes = np.array(rows).T
    labels = ("whole, wall", "whole, processor", "not the model, wall", "not the model, processor")
    for label, values in zip(labels, times, strict=True):
        p50, p95, p99 = 1e3 * np.percentile(values, (50, 95, 99))
        print(f"{name:5} {label:25} p50 {p50:6.1f} ms  p95 {p95:6.1f} ms  p99 {p99:6.1f} ms")
    print(f"{name:5} {'calls of models':25} mean {passes.mean():.2f}, at most {passes.max():.0f}")


class _Client:
    """A customer over one connection."""

    def __init__(self, url: str, key: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def first_token(self, pid: int, text: str) -> Work:
        """Ask in a new session; when it was sent, when the first text came, and the server's processor time."""
        session = json.loads(self._post(PATH, {}).read())["session_id"]
        cpu, begin = _processor_s(pid), time.perf_counter()
        answer = self._post(f"{PATH}/{session}/messages", {"content": text})
        for line in answer:
            if line.startswith(b"data:") and json.loads(line[5:])["type"] == "delta":
                break
        end, cpu = time.perf_counter(), _processor_s(pid) - cpu
        answer.read()
        return begin, end, cpu

    def _post(self, path: str, body: dict[str, Any]) -> http.client.HTTPResponse:
        self._connection.request("POST", path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        if answer.status >= 300:
            raise SystemExit(f"{path}: {answer.status} {answer.read().decode()}")
        return answer


def _processor_s(pid: int) -> float:
    """Processor time of another process, finer than /proc tells: Linux' clock of it."""
    return time.clock_gettime((~pid << 3) | 2)


# --- the server's process -------------------------------------------------------------------------------------------


@contextmanager
def _server(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], _Client]]:
    with subprocess.Popen(_command(home, "--serve")) as process:
        while not (home / "ready.json").is_file():
            if process.poll() is not None:
                raise SystemExit("The server ended before it was ready; see above.")
            time.sleep(0.1)
        yield process, _Client(**json.loads((home / "ready.json").read_text("utf-8")))
        process.terminate()


def _serve(home: Path) -> None:
    work: list[Work] = []
    for owner, method in MODELS_AT_WORK:
        _watch(owner, method, work)
    kit = build(_settings(home), on_progress=_silent)
    lifetime = timedelta(days=1)
    key = kit.keys.issue(tenant=DEMO_TENANT, label="benchmark", lifetime=lifetime, customer=DEMO_CUSTOMER)

    def tell(url: str, *_: object) -> None:
        draft = home / "ready.part"
        draft.write_text(json.dumps({"url": url, "key": key}), "utf-8")
        draft.rename(home / "ready.json")

    configure_logging("error", json=False)
    try:
        serve(kit, dashboards=False, on_ready=tell)
    finally:
        (home / "work.json").write_text(json.dumps(work), "utf-8")


def _watch(owner: type, method: str, work: list[Work]) -> None:
    """Note each call of a method in this process."""
    plain = getattr(owner, method)

    @functools.wraps(plain)
    def noted(*args: Any, **kwargs: Any) -> Any:
        begin, cpu = time.perf_counter(), time.process_time()
        try:
            return plain(*args, **kwargs)
        finally:
            work.append((begin, time.perf_counter(), time.process_time() - cpu))

    setattr(owner, method, noted)


def _settings(home: Path) -> Settings:
    port = 20_000 + os.getppid() % 20_000  # the same process starts both
    return Settings(home=home, model=prepare_default_model(MODELS, _silent), demo=False, port=port, log_level="error")


def _command(home: Path, what: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.first_token", what, "--home", str(home)]


def _silent(what: str, share: float) -> None:
    """Report no progress."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--questions", type=int, default=None, help="the first so many; all if left out")
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
