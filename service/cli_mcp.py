"""`trivium mcp`: the tools over standard input and output, for one key. Ignores HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verticals.contract import InvalidInput

if TYPE_CHECKING:
    from service.kit import Kit


def serve_mcp(kit: Kit) -> None:
    """Answer one client until it closes its end.

    Raises:
        InvalidInput: no key is set.
        Unauthenticated: the key is unknown, expired or revoked.
    """
    import anyio
    from mcp.server.stdio import stdio_server

    from service.mcp_server import build_mcp_server

    key = kit.settings.mcp_key.get_secret_value()
    if not key:
        raise InvalidInput("is not set", field="TRIVIUM_MCP_KEY", remedy="`trivium keys issue --label mcp` makes one.")
    kit.keys.authenticate(key)
    server = build_mcp_server(kit, lambda _: kit.keys.authenticate(key))  # again at each call: it may be revoked

    async def run() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(run)
