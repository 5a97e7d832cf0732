"""What platforms send, signed as they sign; and a server that takes what we send them."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from service.webhooks.signatures import sign_standard

SECRET = "whsec_" + "c2VjcmV0" * 4
EVENTS_SECRET = "whsec_" + "ZXZlbnRz" * 4
SLACK_SECRET, CHATWOOT_SECRET = "slack-secret", "chatwoot-secret"


def settings(url: str) -> dict[str, Any]:
    """Every channel, each pointing to the server at `url`."""
    return {
        "channel_tenant": "acme",
        "webhook_secret": SECRET,
        "events_url": f"{url}/events",
        "events_secret": EVENTS_SECRET,
        "slack_signing_secret": SLACK_SECRET,
        "slack_bot_token": "xoxb-1",
        "slack_api_url": f"{url}/slack",
        "chatwoot_url": url,
        "chatwoot_secret": CHATWOOT_SECRET,
        "chatwoot_token": "bot-token",
    }


@dataclass(frozen=True)
class Signed:
    """A request, ready to be sent."""

    body: bytes
    headers: dict[str, str]


def generic(now: float, *, event_id: str = "evt-1", secret: str = SECRET, **body: Any) -> Signed:
    content = json.dumps({"conversation_id": "c1", "text": "hello", **body}).encode()
    return Signed(content, sign_standard(secret, message_id=event_id, body=content, now=now))


def slack(now: float, *, secret: str = SLACK_SECRET, event_id: str = "Ev1", **event: Any) -> Signed:
    inner = {"type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "text": "hello", "ts": "1.2"}
    return slack_raw(
        now, {"type": "event_callback", "team_id": "T1", "event_id": event_id, "event": inner | event}, secret
    )


def slack_raw(now: float, content: dict[str, Any], secret: str = SLACK_SECRET) -> Signed:
    body = json.dumps(content).encode()
    code = hmac.new(secret.encode(), f"v0:{int(now)}:".encode() + body, hashlib.sha256).hexdigest()
    return Signed(body, {"x-slack-request-timestamp": str(int(now)), "x-slack-signature": f"v0={code}"})


def chatwoot(now: float, *, secret: str = CHATWOOT_SECRET, status: str = "pending", **event: Any) -> Signed:
    content = {
        "event": "message_created",
        "id": 7,
        "content": "hello",
        "message_type": "incoming",
        "private": False,
        "account": {"id": 3, "name": "Shop"},
        "conversation": {"id": 5, "status": status, "messages": []},
        "sender": {"id": 1, "name": "Ada"},
    }
    body = json.dumps(content | event).encode()
    code = hmac.new(secret.encode(), f"{int(now)}.".encode() + body, hashlib.sha256).hexdigest()
    return Signed(body, {"x-chatwoot-timestamp": str(int(now)), "x-chatwoot-signature": f"sha256={code}"})


@dataclass
class Platform:
    """A server in the place of Slack, Chatwoot and the receiver of events; it fails the first `num_failures` times."""

    num_failures: int = 0
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/{path:path}")
        async def take(path: str, request: Request) -> JSONResponse:
            self.got.append((path, dict(request.headers), await request.body()))
            if self.num_failures > 0:
                self.num_failures -= 1
                return JSONResponse({"ok": False}, status_code=500)
            return JSONResponse({"ok": path != "slack/chat.postMessage" or b"refuse" not in self.got[-1][2]})

        return app

    def bodies(self, path: str) -> list[Any]:
        """What came to `path`, as JSON."""
        return [json.loads(body) for where, _, body in self.got if where == path]
