"""A remote engine that answers every chat with so many words, a while apart. Ignores what it is asked.

It stands for a model server that decodes a thousand answers at once, so that what is tried is how many the service
holds open.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.ports import free_port

MODEL = "slow"


def _chunk(delta: dict[str, Any], reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"


@asynccontextmanager
async def upstream(words: int, *, apart_s: float) -> AsyncIterator[str]:
    """Its address, `/v1` included, while the block runs."""

    async def pieces() -> AsyncIterator[str]:
        yield _chunk({"role": "assistant", "content": "word 0"})
        for number in range(1, words):
            await asyncio.sleep(apart_s)
            yield _chunk({"content": f" word {number}"})
        yield _chunk({}, "stop") + "data: [DONE]\n\n"

    async def chat(_request: Request) -> Response:
        return StreamingResponse(pieces(), media_type="text/event-stream")

    async def models(_request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    routes = [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/health", models),
        Route("/v1/models", models),
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=free_port(), log_config=None, timeout_keep_alive=100)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        yield f"http://127.0.0.1:{config.port}/v1"
    finally:
        server.should_exit = True
        await serving
