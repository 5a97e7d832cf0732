"""The channel `slack`: Slack's Events API in, `chat.postMessage` out. Ignores files, edits and other bots.

Answers direct messages, and mentions in channels (in the mention's thread).
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx
from pydantic import BaseModel

from service.webhooks.channels import IGNORED, Immediate, Inbound, Reply, parse, post
from service.webhooks.signatures import check, hmac_sha256
from verticals.contract import Unavailable

_MENTION = re.compile(r"<@\w+>")
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))  # the three that Slack knows; & first when writing


class SlackEvent(BaseModel):
    """The inner event, as far as it is read."""

    type: str = ""
    subtype: str | None = None
    bot_id: str | None = None
    channel: str = ""
    channel_type: str = ""
    text: str = ""
    ts: str = ""
    thread_ts: str | None = None


class SlackRequest(BaseModel):
    """The outer event, as far as it is read."""

    type: str
    challenge: str = ""
    team_id: str = ""
    event_id: str = ""
    event: SlackEvent = SlackEvent()


class SlackChannel:
    """See the module."""

    def __init__(self, *, signing_secret: str, bot_token: str, api_url: str, client: httpx.Client) -> None:
        self._signing_secret, self._bot_token = signing_secret.encode(), bot_token
        self._url, self._client = f"{api_url.rstrip('/')}/chat.postMessage", client

    def receive(self, headers: Mapping[str, str], body: bytes, *, now: float) -> Inbound | Immediate:
        """See `Channel`."""
        timestamp = headers.get("x-slack-request-timestamp", "")
        expected = "v0=" + hmac_sha256(self._signing_secret, f"v0:{timestamp}:".encode(), body).hex()
        given = headers.get("x-slack-signature", "")
        check(expected=expected.encode(), given=given.encode(), timestamp=timestamp, now=now)
        request = parse(SlackRequest, body)
        event, is_direct = request.event, request.event.channel_type == "im"
        if request.type == "url_verification":
            return Immediate({"challenge": request.challenge})
        wanted = event.type == "app_mention" or (event.type == "message" and is_direct)
        text = _read(event.text)
        if request.type != "event_callback" or not wanted or event.bot_id or event.subtype or not text:
            return IGNORED
        thread = event.thread_ts or (None if is_direct else event.ts)
        address = {"channel": event.channel} | ({"thread_ts": thread} if thread else {})
        conversation = f"{request.team_id} {event.channel} {thread or ''}"
        return Inbound(request.event_id, conversation, text, address)

    def send(self, reply: Reply) -> None:
        """See `Channel`. Slack reports failures with status 200 and `ok` false."""
        text = reply.text
        for character, escaped in _ESCAPES:
            text = text.replace(character, escaped)
        headers = {"Authorization": f"Bearer {self._bot_token}"}
        answer = post(self._client, self._url, json={**reply.address, "text": text}, headers=headers)
        if answer.json().get("ok") is not True:
            raise Unavailable("Slack does not take the message")


def _read(text: str) -> str:
    text = _MENTION.sub("", text)
    for character, escaped in reversed(_ESCAPES):
        text = text.replace(escaped, character)
    return text.strip()
