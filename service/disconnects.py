"""Stops work on an answer when the client that waits for it is gone. Ignores streams, which notice by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi import Request, Response

from service.idempotency import FIELD

CLIENT_CLOSED_REQUEST = 499  # nobody reads it but the metrics; the number is nginx's


async def unless_gone(request: Request, work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` gives; it is cancelled when the client leaves.

    A request with an `Idempotency-Key` goes on: its client may ask again, and then finds the answer.
    """
    if FIELD in request.headers:
        return await work
    doing, leaving = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await doing if doing.done() else Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        doing.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
