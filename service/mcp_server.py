"""Tools for other agents over the Model Context Protocol: operations of verticals, typed. Ignores the transport.

Who asks, and so which tenant's data is meant, comes from the API key, never from a tool's arguments.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, cast

import anyio.to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import BaseModel, ValidationError

from service import problems
from service.auth import Caller
from service.kit import Kit
from verticals.contract import NotFound


@dataclass(frozen=True)
class OfferedTool:
    """An operation as a tool."""

    vertical: str
    operation: str
    description: str
    reads_only: bool = False


TOOLS = {
    "search_knowledge": OfferedTool(
        "support", "search", "Search the shop's help articles; gives passages, best first.", reads_only=True
    ),
    "create_ticket": OfferedTool(
        "support", "create_ticket", "Open a support ticket about a conversation; its last message is the customer's."
    ),
    "get_ticket": OfferedTool("support", "get_ticket", "Read a support ticket by its id.", reads_only=True),
}


def build_mcp_server(kit: Kit, caller_of: Callable[[ServerRequestContext], Caller]) -> Server:
    """A server of those `TOOLS` whose vertical is there; `caller_of` says who sent a request."""

    async def list_tools(context: ServerRequestContext, _: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_described(kit, name) for name in _offered(kit)])

    async def call_tool(context: ServerRequestContext, params: CallToolRequestParams) -> CallToolResult:
        request_id, caller = uuid.uuid4().hex, caller_of(context)
        try:
            run = partial(_run, kit, params, caller=caller, request_id=request_id)
            answer = await anyio.to_thread.run_sync(run)
        except ValidationError as error:
            return _failed(problems.of_validation(error.errors(), request_id=request_id)["detail"])
        except Exception as error:  # noqa: BLE001  (the calling agent reads what it may do about it)
            return _failed(str(problems.as_ours(error, request_id=request_id)))
        return CallToolResult(
            content=[TextContent(text=answer.model_dump_json())], structured_content=answer.model_dump(mode="json")
        )

    return Server("trivium", version=version("trivium"), on_list_tools=list_tools, on_call_tool=call_tool)


def _offered(kit: Kit) -> list[str]:
    return [name for name, tool in TOOLS.items() if tool.vertical in kit.verticals]


def _described(kit: Kit, name: str) -> Tool:
    tool = TOOLS[name]
    operation = kit.operation(tool.vertical, tool.operation)
    response = cast(type[BaseModel], operation.response)
    return Tool(
        name=name,
        description=tool.description,
        input_schema=operation.request.model_json_schema(),
        output_schema=response.model_json_schema(mode="serialization"),
        annotations=ToolAnnotations(read_only_hint=tool.reads_only, destructive_hint=False, open_world_hint=False),
    )


def _run(kit: Kit, params: CallToolRequestParams, *, caller: Caller, request_id: str) -> BaseModel:
    if params.name not in (names := _offered(kit)):
        raise NotFound(f"must be one of {', '.join(names)}", field="name")
    tool = TOOLS[params.name]
    request = kit.operation(tool.vertical, tool.operation).request.model_validate(params.arguments or {})
    found: Any = kit.invoke(tool.vertical, tool.operation, request, caller=caller, request_id=request_id)
    return cast(BaseModel, found)


def _failed(message: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=message)], is_error=True)
