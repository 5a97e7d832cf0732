"""`/webhooks/...` over HTTP: signed requests of platforms, and Rasa's REST channel. Ignores what channels do."""

from __future__ import annotations

from typing import Annotated, Any, cast

import anyio.to_thread
from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field

from service.callers import Authenticated, kit_of
from service.idempotent_routes import IdempotentRoute
from service.problems import request_id_of
from service.webhooks.hub import WebhookHub
from service.webhooks.talks import Talks

RASA_EXAMPLES: Any = {"question": {"value": {"sender": "visitor-1", "message": "How long can I return a lamp?"}}}
GENERIC = {
    "requestBody": {
        "description": "As the platform sends it; this is the form of `generic`, signed as Standard Webhooks.",
        "content": {
            "application/json": {
                "examples": {"generic": {"value": {"conversation_id": "c-17", "text": "Where is my parcel?"}}}
            }
        },
    }
}

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=IdempotentRoute)


class RasaMessage(BaseModel):
    """A visitor's message; `sender` names the conversation."""

    model_config = ConfigDict(extra="forbid")

    sender: Annotated[str, Field(min_length=1, max_length=200)]
    message: Annotated[str, Field(min_length=1, max_length=16_000)]


class RasaReply(BaseModel):
    """An answer."""

    recipient_id: str
    text: str


@router.post("/rest/webhook", summary="Ask the support agent, as clients of Rasa's REST channel do")
def ask_as_rasa(
    request: Request, asked: Annotated[RasaMessage, Body(openapi_examples=RASA_EXAMPLES)], caller: Authenticated
) -> list[RasaReply]:
    """The agent's answer, in a session of the same key's same sender; none while a person has it."""
    conversation = f"{caller.customer or caller.key_id} {asked.sender}"
    talk = Talks(kit_of(request)).open("rest", conversation, caller=caller, request_id=request_id_of(request))
    answered = talk.answer(asked.message)
    return [RasaReply(recipient_id=asked.sender, text=answered.text)] if answered.text else []


@router.post("/{channel}", summary="A platform's signed event: generic, slack or chatwoot", openapi_extra=GENERIC)
async def receive(channel: str, request: Request) -> dict[str, str]:
    """Acknowledged at once, answered in the background; the signature is the key."""
    hub = cast(WebhookHub, request.app.state.webhooks)
    body = await request.body()
    return dict(await anyio.to_thread.run_sync(hub.receive, channel, request.headers, body))
