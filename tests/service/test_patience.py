"""A client that stands still loses its connection; one that goes on keeps it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.patience import HEAD_S, STALLED_S, PatientProtocol, look

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"
ANSWER = [
    {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]},
    {"type": "http.response.body", "body": b""},
]


class FakeTransport(asyncio.Transport):
    """Keeps what is written; its buffer holds what the test says."""

    def __init__(self) -> None:
        super().__init__({"socket": socket.socket()})
        self.written, self.buffered, self.is_open = b"", 0, True

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def close(self) -> None:
        self.is_open = False
        self.get_extra_info("socket").close()

    abort = close

    def is_closing(self) -> bool:
        return not self.is_open

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def read_then_answer(scope: Any, receive: Any, send: Any) -> None:
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.request":
        for part in ANSWER:
            await send(part)


class Connection:
    """One connection of a server that takes at most two."""

    def __init__(self, state: ServerState, app: Any = read_then_answer) -> None:
        class Protocol(PatientProtocol):
            max_connections = 2

        config = uvicorn.Config(app, log_config=None)
        self.protocol = Protocol(config=config, server_state=state, app_state={})
        self.transport = FakeTransport()
        self.protocol.connection_made(self.transport)

    def say(self, data: bytes) -> None:
        self.protocol.data_received(data)


Play = Callable[[Connection, Callable[[float], None]], Any]


def play(steps: Play) -> bool:
    """Whether the connection is open after the steps, which say at what times the server looks."""

    async def run() -> bool:
        state = ServerState()
        connection = Connection(state)
        steps(connection, lambda at_s: look(state.connections, at_s))
        is_open = connection.transport.is_open
        connection.protocol.connection_lost(None)
        await asyncio.sleep(0)
        return is_open

    return asyncio.run(run())


@pytest.mark.parametrize(("at_s", "is_open"), [(HEAD_S - 1, True), (HEAD_S + 1, False)])
def test_a_head_must_be_whole_in_time_however_often_a_byte_comes(at_s: float, is_open: bool) -> None:
    def steps(connection: Connection, look_at: Callable[[float], None]) -> None:
        look_at(0)
        connection.say(HEAD[:5])
        look_at(at_s / 2)
        connection.say(HEAD[5:7])
        look_at(at_s)

    assert play(steps) == is_open


@pytest.mark.parametrize(("says_more", "is_open"), [(True, True), (False, False)])
def test_a_body_must_go_on(says_more: bool, is_open: bool) -> None:
    def steps(connection: Connection, look_at: Callable[[float], None]) -> None:
        connection.say(HEAD + b"a")
        look_at(0)
        look_at(STALLED_S - 1)
        if says_more:
            connection.say(b"b")
        look_at(STALLED_S + 1)

    assert play(steps) == is_open


@pytest.mark.parametrize(("left", "is_open"), [(90_000, True), (100_000, False)])
def test_an_answer_must_be_read(left: int, is_open: bool) -> None:
    def steps(connection: Connection, look_at: Callable[[float], None]) -> None:
        connection.say(HEAD + b"abcd")
        connection.transport.buffered = 100_000
        connection.protocol.pause_writing()
        look_at(0)
        connection.transport.buffered = left
        look_at(STALLED_S + 1)

    assert play(steps) == is_open


def test_work_that_takes_its_time_is_not_cut() -> None:
    def steps(connection: Connection, look_at: Callable[[float], None]) -> None:
        connection.say(HEAD + b"abcd")
        look_at(0)
        look_at(3600)

    assert play(steps)


def test_who_stands_still_is_reset_so_that_the_kernel_keeps_nothing_for_it() -> None:
    async def run() -> bytes:
        loop, made = asyncio.get_running_loop(), []

        def make() -> PatientProtocol:
            config = uvicorn.Config(read_then_answer, log_config=None)
            made.append(PatientProtocol(config=config, server_state=ServerState(), app_state={}))
            return made[0]

        server = await loop.create_server(make, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.setblocking(False)
            while not (made and made[0].transport):
                await asyncio.sleep(0)
            for at_s in (0, HEAD_S + 1):
                made[0].look(at_s)
            try:
                return await asyncio.wait_for(loop.sock_recv(client, 1), 10)
            finally:
                server.close()

    with pytest.raises(ConnectionResetError):
        asyncio.run(run())


def test_whose_connection_is_lost_is_told_though_more_requests_wait_behind_it() -> None:
    async def run() -> list[str]:
        heard = []

        async def listen(_scope: Any, receive: Any, _send: Any) -> None:
            while (message := await receive())["type"] != "http.disconnect":
                heard.append(message["type"])
            heard.append(message["type"])

        connection = Connection(ServerState(), listen)
        connection.say(2 * (HEAD + b"abcd"))
        await asyncio.sleep(0)
        connection.protocol.connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)
        return heard

    assert asyncio.run(run()) == ["http.request", "http.disconnect"]


def test_more_connections_than_files_are_refused_with_503() -> None:
    async def run() -> list[FakeTransport]:
        state = ServerState()
        return [Connection(state).transport for _ in range(3)]

    *taken, refused = asyncio.run(run())

    assert all(transport.is_open for transport in taken)
    assert not refused.is_open
    assert refused.written.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in refused.written
