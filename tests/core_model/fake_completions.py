"""A small HTTP server that speaks `/v1/completions` as it is told to, over a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer: its status, and the lines of its body; then `hang_up` cuts the connection, `stall` keeps it open."""

    status: int = 200
    lines: Sequence[str] = ()
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    stall: bool = False


def said(*texts: str, finish_reason: str = "stop") -> list[str]:
    """The lines of a whole answer, as vLLM streams it."""
    choices = [{"index": 0, "text": text, "finish_reason": None} for text in texts]
    choices[-1]["finish_reason"] = finish_reason
    events = [json.dumps({"id": "cmpl-1", "object": "text_completion", "choices": [choice]}) for choice in choices]
    return [*(f"data: {event}\n\n" for event in events), "data: [DONE]\n\n"]


class FakeServer:
    """Gives `replies` one after the other, the last for ever; notes what it was sent."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.hung_up = threading.Event()  # a client left while we wrote
        self.closing = threading.Event()
        self.url = ""
        self.health = 200  # of `/health`; 404: it has no such page
        self.looked_at: list[str] = []


@contextmanager
def serving(*replies: Reply) -> Iterator[FakeServer]:
    """Run a `FakeServer` in a thread."""
    fake = FakeServer(*replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fake.looked_at.append(self.path)
            self.send_response(fake.health if self.path == "/health" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            fake.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            fake.keys.append(self.headers["Authorization"])
            assert self.path in ("/v1/completions", "/v1/chat/completions")
            reply = fake.replies.pop(0) if len(fake.replies) > 1 else fake.replies[0]
            self.send_response(reply.status)
            for name, value in {
                "Transfer-Encoding": "chunked",
                "Content-Type": "text/event-stream",
                **reply.headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for line in reply.lines:
                    self._write(line)
                while reply.stall and not fake.closing.wait(0.01):
                    self._write(": still here\n\n")
            except OSError:
                fake.hung_up.set()
                return
            if reply.hang_up:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

        def _write(self, text: str) -> None:
            self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
