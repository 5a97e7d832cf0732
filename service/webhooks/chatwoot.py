"""The channel `chatwoot`: a Chatwoot agent bot. Ignores conversations that people have: those not `pending`.

Needs Chatwoot 4.13 or newer, which signs what it sends to bots. A hand-over opens the conversation for people.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from pydantic import BaseModel

from service.webhooks.channels import IGNORED, Immediate, Inbound, Reply, parse, post
from service.webhooks.signatures import check, hmac_sha256


class ChatwootAccount(BaseModel):
    """Whose conversation."""

    id: int


class ChatwootConversation(BaseModel):
    """Which conversation; `pending` is the bot's turn."""

    id: int
    status: str = "pending"


class ChatwootEvent(BaseModel):
    """An event, as far as it is read. Events other than of messages have other members."""

    event: str
    id: int | str = 0
    content: str | None = None
    message_type: str | int = ""
    private: bool = False
    account: ChatwootAccount | None = None
    conversation: ChatwootConversation | None = None


class ChatwootChannel:
    """See the module."""

    def __init__(self, *, secret: str, token: str, url: str, client: httpx.Client) -> None:
        self._secret, self._token, self._url, self._client = secret.encode(), token, url.rstrip("/"), client

    def receive(self, headers: Mapping[str, str], body: bytes, *, now: float) -> Inbound | Immediate:
        """See `Channel`."""
        timestamp = headers.get("x-chatwoot-timestamp", "")
        expected = "sha256=" + hmac_sha256(self._secret, f"{timestamp}.".encode(), body).hex()
        given = headers.get("x-chatwoot-signature", "")
        check(expected=expected.encode(), given=given.encode(), timestamp=timestamp, now=now)
        event = parse(ChatwootEvent, body)
        text = (event.content or "").strip()
        is_customers = event.event == "message_created" and event.message_type in ("incoming", 0) and not event.private
        if not is_customers or not text or not event.account or not event.conversation:
            return IGNORED
        if event.conversation.status != "pending":
            return IGNORED
        address = {"account": event.account.id, "conversation": event.conversation.id}
        conversation = f"{event.account.id} {event.conversation.id}"
        return Inbound(f"message-{event.id}", conversation, text, address)

    def send(self, reply: Reply) -> None:
        """See `Channel`. The conversation is opened first: doing that twice does no harm."""
        account, conversation = int(reply.address["account"]), int(reply.address["conversation"])
        base = f"{self._url}/api/v1/accounts/{account}/conversations/{conversation}"
        headers = {"api_access_token": self._token}
        if reply.hand_over:
            post(self._client, f"{base}/toggle_status", json={"status": "open"}, headers=headers)
        message = {"content": reply.text, "message_type": "outgoing", "private": False}
        post(self._client, f"{base}/messages", json=message, headers=headers)
