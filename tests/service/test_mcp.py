"""The unmodified `mcp` client finds and calls the tools, over HTTP and over a process's standard streams."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from service.api import create_app
from service.cli_mcp import serve_mcp
from service.kit import Kit
from service.mcp_server import build_mcp_server
from tests.conftest import served
from tests.databases import needs_sqlite
from tests.fake_kit import make_kit
from tests.service.fake_support import FakeSupport
from verticals.contract import TriviumError

MESSAGES = [{"role": "user", "content": "a person please"}]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return make_kit(tmp_path_factory.mktemp("mcp"), {"support": FakeSupport().vertical()})


@pytest.fixture(scope="module")
def url(kit: Kit) -> Iterator[str]:
    with served(create_app(kit)) as running:
        yield running


@pytest.fixture(scope="module")
def key(kit: Kit) -> str:
    return kit.keys.issue(tenant="acme", label="test")


def over_http(url: str, key: str, use: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
        ):
            return await use(client)

    return asyncio.run(run())


def test_the_tools_are_typed(url: str, key: str) -> None:
    listed = over_http(url, key, lambda client: client.list_tools())

    tools = {tool.name: tool for tool in listed.tools}
    assert list(tools) == ["search_knowledge", "create_ticket", "get_ticket"]
    assert tools["search_knowledge"].input_schema["required"] == ["query"]
    assert "ticket_id" in tools["create_ticket"].output_schema["properties"]
    assert tools["get_ticket"].annotations.read_only_hint
    assert 'route="/mcp",status="200"' in httpx.get(f"{url}/metrics", trust_env=False).text


def test_a_tool_answers_for_the_tenant_of_the_key(url: str, kit: Kit, key: str) -> None:
    async def use(client: Client) -> tuple[Any, Any, Any]:
        hits = await client.call_tool("search_knowledge", {"query": "lamps"})
        ticket = await client.call_tool("create_ticket", {"messages": MESSAGES})
        again = await client.call_tool("get_ticket", {"ticket_id": ticket.structured_content["ticket_id"]})
        return hits, ticket, again

    hits, ticket, again = over_http(url, key, use)
    other = kit.keys.issue(tenant="other", label="test")
    ticket_id = {"ticket_id": ticket.structured_content["ticket_id"]}
    refused = over_http(url, other, lambda client: client.call_tool("get_ticket", ticket_id))

    assert hits.structured_content["hits"][0]["title"] == "For acme"
    assert again.structured_content == ticket.structured_content
    assert (refused.is_error, "no such ticket" in refused.content[0].text) == (True, True)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("search_knowledge", {}, "query: is required"),
        ("search_knowledge", {"query": "x", "tenant": "other"}, "tenant: is not known here"),
        ("search_knowledge", {"query": 5}, "query: must be a text"),
        ("drop_tables", {}, "must be one of search_knowledge"),
    ],
)
def test_bad_arguments_are_told_to_the_agent(url: str, key: str, name: str, arguments: Any, words: str) -> None:
    found = over_http(url, key, lambda client: client.call_tool(name, arguments))

    assert found.is_error
    assert words in found.content[0].text


def test_a_key_calls_only_what_it_covers(url: str, kit: Kit) -> None:
    narrow = kit.keys.issue(tenant="acme", label="n", scopes=["support.search"])

    refused = over_http(url, narrow, lambda client: client.call_tool("create_ticket", {"messages": MESSAGES}))

    assert refused.is_error
    assert "does not cover" in refused.content[0].text


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [({}, b"{}", 401), ({"Authorization": "Bearer x"}, b"{}", 401), (None, b"{", 400), (None, b"x" * 600_000, 413)],
)
def test_a_bad_request_is_refused(
    url: str, key: str, headers: dict[str, str] | None, content: bytes, status: int
) -> None:
    headers = {"Authorization": f"Bearer {key}"} if headers is None else headers
    headers |= {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    assert httpx.post(f"{url}/mcp", content=content, headers=headers, trust_env=False).status_code == status


def test_the_same_server_answers_in_this_process(kit: Kit) -> None:
    caller = kit.keys.authenticate(kit.keys.issue(tenant="acme", label="test"))

    async def run() -> Any:
        async with Client(build_mcp_server(kit, lambda _: caller)) as client:
            return await client.call_tool("search_knowledge", {"query": "lamps"})

    assert asyncio.run(run()).structured_content["hits"][0]["text"] == "About lamps"


def test_a_process_answers_over_its_standard_streams(kit: Kit, key: str) -> None:
    needs_sqlite("the process finds the database in its home")
    arguments = ["-m", "tests.service.mcp_over_stdio", str(kit.settings.home), key]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = StdioServerParameters(command=sys.executable, args=arguments, env=environment)

    async def run() -> Any:
        async with Client(stdio_client(process)) as client:
            return await client.call_tool("search_knowledge", {"query": "lamps"})

    assert asyncio.run(run()).structured_content["hits"][0]["title"] == "For acme"


@pytest.mark.parametrize(("mcp_key", "words"), [("", "TRIVIUM_MCP_KEY: is not set"), ("tvm_a_b", "unknown, expired")])
def test_a_process_without_a_valid_key_says_so(tmp_path: Path, mcp_key: str, words: str) -> None:
    with pytest.raises(TriviumError, match=words):
        serve_mcp(make_kit(tmp_path, {}, settings={"mcp_key": mcp_key}))
