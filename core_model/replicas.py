"""Several OpenAI-compatible servers behind one httpx transport, as if they were one. Ignores what is asked.

A request goes where `core_model.affinity` says. It is sent again only while none of its answer has been handed on: to
another server when one cannot be reached or breaks off, and after 429 or 503, to another at once or to the same when
its `Retry-After` is over. So no text comes twice, and what breaks off in the middle is an error.

A server that breaks is left out until a health check finds it well; one whose check says 503 drains: it gets nothing
new, and what it runs goes on. When all are left out, all are tried: a check may be behind.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import httpx

from core_model.affinity import beginning, choose

BASE_URL = "http://replicas/v1"  # what clients of the transport ask; each replica's own takes its place
CHECK_EVERY_S = 2.0
_CONNECT_TIMEOUT_S = 5.0
_CHECK_TIMEOUT_S = 2.0
_FAILED_CHECKS = 2  # in a row, before a server that does not answer them is left out
_HEALTH_PATHS = ("/health", "/healthz")  # vLLM, SGLang and llama.cpp; ours. All have `/v1/models`
_MAX_WAIT_S = 10.0
_BUSY = (429, 503)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplicaStats:
    """One server, now; totals count since the start.

    Attributes:
        name: Host and port.
        is_up: Whether it gets new requests.
        running: Requests that it answers.
        answered_total: Answers that ended well, refusals too.
        busy_total: Answers of 429 or 503.
        failed_total: Connections that were not made, or broke.
    """

    name: str
    is_up: bool
    running: int
    answered_total: int
    busy_total: int
    failed_total: int


class _Replica:
    def __init__(self, url: str) -> None:
        self.url = httpx.URL(url.rstrip("/"))
        self.name = self.url.netloc.decode()  # without user and password
        self.is_up, self.failed_checks, self.free_at = True, 0, 0.0  # until `free_at` it asked to be spared
        self.running = self.answered = self.busy = self.failed = 0


class Replicas(httpx.BaseTransport):
    """The transport. Safe from many threads.

    Args:
        urls: Of each server, up to and with "/v1".
        api_key: Sent to all as a bearer token in place of the client's, and never shown; empty for none.
        max_retries: How often a request waits for servers that are busy. The wait doubles from half a second, or is
            what `Retry-After` says, and is ten seconds at most.
        on_request: Sees each request of a client before it is sent, and may add headers.
        transport: For tests.
        sleep: For tests.
        clock: For tests.
    Raises:
        ValueError: no address, or one of them twice or not of HTTP.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        api_key: str = "",
        max_retries: int = 3,
        on_request: Callable[[httpx.Request], None] | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        rule = "urls: must be http(s)://host:port/v1, each host and port once. Correct them."
        try:
            self._replicas = [_Replica(url) for url in urls]
        except httpx.InvalidURL as error:
            raise ValueError(rule) from error
        names = {replica.name for replica in self._replicas}
        if not names or len(names) < len(urls) or any(r.url.scheme not in ("http", "https") for r in self._replicas):
            raise ValueError(rule)
        self._headers = httpx.Headers({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._on_request = on_request
        self._max_retries, self._sleep, self._clock = max_retries, sleep, clock
        self._lock, self._closed = threading.Lock(), threading.Event()
        # The servers bound how much runs at once, and say 429; only service/settings.py reads the environment.
        limits = httpx.Limits(max_connections=None)
        self._transport = transport or httpx.HTTPTransport(limits=limits, trust_env=False)
        self._client = httpx.Client(
            transport=self._transport, headers=self._headers, timeout=_CHECK_TIMEOUT_S, trust_env=False
        )
        self._watching: list[threading.Thread] = []

    def client(self, timeout_s: float) -> httpx.Client:
        """A client of these servers that waits so long for each piece; closing it closes them."""
        timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
        hooks = {"request": [self._on_request] if self._on_request else []}
        return httpx.Client(base_url=BASE_URL, transport=self, timeout=timeout, event_hooks=hooks, trust_env=False)

    # --- requests ---------------------------------------------------------------------------------------------------

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The first answer that is not "busy", its stream not yet read beyond the first piece.

        Raises:
            httpx.HTTPError: no server could be reached, or all broke off before they answered.
            RuntimeError: closed.
        """
        body = request.read()
        key, broken, num_busy, num_waits = beginning(body), set[str](), 0, 0
        while True:
            if self._closed.is_set():
                raise RuntimeError("closed")
            replica, wait_s = self._take(key, broken)
            try:
                if wait_s:
                    num_waits += 1
                    self._sleep(wait_s)
                response = self._send(replica, request, body)
            except BaseException as error:
                self._end(replica, None, error)
                broken.add(replica.name)
                if not _is_gone(error) or len(broken) == len(self._replicas):
                    raise
                continue
            if response.status_code not in _BUSY:
                return response
            num_busy += 1
            if num_busy >= self._max_retries + len(self._replicas):
                return response
            response.close()
            self._spare(replica, _wait_s(response, num_waits))

    def _take(self, key: bytes, broken: set[str]) -> tuple[_Replica, float]:
        """A server, which counts as running one more, and how long to wait before it is asked."""
        with self._lock:
            left = [replica for replica in self._replicas if replica.name not in broken]
            known = [replica for replica in left if replica.is_up] or left
            now = self._clock()
            free = {replica.name: replica for replica in known if replica.free_at <= now}
            if free:
                replica = free[choose(key, {name: each.running for name, each in free.items()})]
            else:
                replica = min(known, key=lambda each: each.free_at)
            replica.running += 1
            return replica, max(0.0, replica.free_at - now)

    def _send(self, replica: _Replica, request: httpx.Request, body: bytes) -> httpx.Response:
        path = request.url.path.removeprefix(httpx.URL(BASE_URL).path)
        url = replica.url.copy_with(path=replica.url.path + path)
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "authorization")}
        sent = httpx.Request(
            request.method, url, headers={**headers, **self._headers}, content=body, extensions=request.extensions
        )
        response = self._transport.handle_request(sent)
        assert isinstance(response.stream, httpx.SyncByteStream)
        pieces = iter(response.stream)
        try:
            if response.headers.get("Content-Type", "").startswith("text/event-stream"):
                read = [next(pieces, b"")]
            else:
                read = list(pieces)
        except BaseException:
            response.close()
            raise
        on_end = partial(self._end, replica, response.status_code)
        stream = _Answer(read, pieces, response.stream, on_end)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    def _end(self, replica: _Replica, status: int | None, error: BaseException | None) -> None:
        with self._lock:
            replica.running -= 1
            if error is None:
                replica.busy += status in _BUSY
                replica.answered += status not in _BUSY
            elif isinstance(error, httpx.HTTPError):
                replica.failed += 1
                if _is_gone(error):
                    self._put(replica, is_up=False)

    def _spare(self, replica: _Replica, wait_s: float) -> None:
        with self._lock:
            replica.free_at = self._clock() + wait_s

    # --- health -----------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Check each every two seconds in the background, until closed."""
        for replica in self._replicas:  # a thread each, so that one that is silent does not hold the others up
            thread = threading.Thread(target=self._check_on, args=(replica,), daemon=True, name="replica")
            self._watching.append(thread)
            thread.start()

    def check(self) -> None:
        """Ask every server how it is, and leave out or take in accordingly."""
        for replica in self._replicas:
            self._check_one(replica)

    def stats(self) -> list[ReplicaStats]:
        """Every server, in the order of the addresses."""
        with self._lock:
            return [ReplicaStats(r.name, r.is_up, r.running, r.answered, r.busy, r.failed) for r in self._replicas]

    def close(self) -> None:
        """Stop checking and close the connections; what streams ends with an error."""
        self._closed.set()
        for thread in self._watching:
            thread.join()
        self._client.close()

    def _check_on(self, replica: _Replica) -> None:
        while not self._closed.wait(CHECK_EVERY_S):
            self._check_one(replica)

    def _check_one(self, replica: _Replica) -> None:
        try:
            is_ready = self._is_ready(replica)
        except httpx.HTTPError:
            with self._lock:
                replica.failed_checks += 1
                if replica.failed_checks >= _FAILED_CHECKS:
                    self._put(replica, is_up=False)
            return
        with self._lock:
            replica.failed_checks = 0
            self._put(replica, is_up=is_ready)

    def _put(self, replica: _Replica, *, is_up: bool) -> None:
        if is_up != replica.is_up:
            replica.is_up = is_up
            _log.warning("The model server %s is %s.", replica.name, "taken in again" if is_up else "left out")

    def _is_ready(self, replica: _Replica) -> bool:
        """What the first health page that there is says; without one, whether the list of models comes."""
        for path in _HEALTH_PATHS:
            status = self._client.get(replica.url.copy_with(path=path)).status_code
            if status < 300 or status >= 500:
                return status < 300
        return self._client.get(replica.url.copy_with(path=f"{replica.url.path}/models")).status_code < 500


class _Answer(httpx.SyncByteStream):
    """A response's pieces; tells once how it ended: None, or the error."""

    def __init__(
        self,
        read: list[bytes],
        rest: Iterator[bytes],
        stream: httpx.SyncByteStream,
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        self._read, self._rest, self._stream, self._on_end = read, rest, stream, on_end
        self._has_ended = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._read
            yield from self._rest
        except httpx.HTTPError as error:
            self._tell(error)
            raise

    def close(self) -> None:
        self._tell(None)
        self._stream.close()

    def _tell(self, error: BaseException | None) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._on_end(error)


def _is_gone(error: BaseException) -> bool:
    """Whether another server may do better; one that is only slow may still be at work, and its check will tell."""
    is_slow = isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)
    return isinstance(error, httpx.TransportError) and not is_slow


def _wait_s(response: httpx.Response, num_waits: int) -> float:
    asked = response.headers.get("Retry-After", "")
    return min(float(asked) if asked.isdecimal() else 0.5 * 2**num_waits, _MAX_WAIT_S)
