"""`/mcp`: the tools over streamable HTTP, with the API's own keys. Ignores what the tools do.

Each request stands alone (no MCP sessions), so any process of several can answer it, and there is none to hijack.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import anyio.to_thread
from fastapi import Request
from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

from service.auth import Caller
from service.callers import caller_of
from service.kit import Kit
from service.mcp_server import build_mcp_server


class McpEndpoint:
    """An ASGI endpoint; `run` it as long as the application runs."""

    path = "/mcp"

    def __init__(self, kit: Kit) -> None:
        server = build_mcp_server(kit, _caller)
        self._manager = StreamableHTTPSessionManager(server, stateless=True, json_response=True)

    def run(self) -> AbstractAsyncContextManager[None]:
        """What must be entered before the first request."""
        return self._manager.run()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self  # its path is what log and metrics call the request
        await anyio.to_thread.run_sync(caller_of, Request(scope))  # refused as everywhere, before a body is read
        await self._manager.handle_request(scope, receive, send)


def _caller(context: ServerRequestContext) -> Caller:
    assert isinstance(context.request, Request)
    return caller_of(context.request)
