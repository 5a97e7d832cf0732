"""A small OpenID Connect issuer over HTTP: people choose who they are, without a password. Ignores consent and refresh.

python -m tests.e2e.fake_login --port 9000
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import secrets
from dataclasses import dataclass
from html import escape
from typing import Annotated
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse

from tests.service.fake_issuer import FakeIssuer

CLIENT_ID, CLIENT_SECRET = "dashboards", "not-a-secret-of-anybody"
PEOPLE = {  # subject -> name, roles
    "ann": ("Ann Analyst", ["analyst"]),
    "ben": ("Ben Approver", ["approver"]),
    "rae": ("Rae Radiologist", ["radiologist"]),
    "sue": ("Sue Supervisor", ["supervisor"]),
    "ada": ("Ada Administrator", ["admin"]),
    "nil": ("Nil Nobody", []),
}


@dataclass
class Asked:
    """An authorization request that waits for its code to be redeemed."""

    subject: str
    redirect_uri: str
    nonce: str
    challenge: str


def make_app(url: str, *, tenant: str = "demo", lifetime_s: int = 300) -> tuple[FastAPI, FakeIssuer]:
    """The issuer at `url`, and what signs its tokens; access tokens live `lifetime_s`."""
    app, issuer, waiting = FastAPI(), FakeIssuer(url), dict[str, Asked]()

    @app.get("/.well-known/openid-configuration")
    def discovery() -> dict[str, object]:
        return {
            "issuer": url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "jwks_uri": f"{url}/keys",
            "end_session_endpoint": f"{url}/logout",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
        }

    @app.get("/keys")
    def keys() -> dict[str, object]:
        return issuer.key_set()

    @app.get("/authorize", response_class=HTMLResponse)
    def authorize(redirect_uri: str, state: str, nonce: str, code_challenge: str, client_id: str) -> str:
        assert client_id == CLIENT_ID
        links = []
        for subject, (name, _) in PEOPLE.items():
            code = secrets.token_urlsafe(16)
            waiting[code] = Asked(subject, redirect_uri, nonce, code_challenge)
            back = escape(f"{redirect_uri}?{urlencode({'code': code, 'state': state})}")
            links.append(f'<li><a href="{back}">{escape(name)}</a></li>')
        return f"<h1>Who are you?</h1><ul>{''.join(links)}</ul>"

    @app.post("/token")
    def token(
        code: Annotated[str, Form()], redirect_uri: Annotated[str, Form()], code_verifier: Annotated[str, Form()]
    ) -> dict[str, object]:
        asked = waiting.pop(code, None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).decode().rstrip("=")
        if asked is None or asked.redirect_uri != redirect_uri or asked.challenge != proof:
            raise HTTPException(400, "invalid_grant")
        name, roles = PEOPLE[asked.subject]
        who = {"sub": asked.subject, "name": name}
        now = issuer.claims()["iat"]
        access = issuer.token(**who, tenant=tenant, roles=roles, exp=now + lifetime_s, headers={"typ": "at+jwt"})
        return {
            "access_token": access,
            "id_token": issuer.token(**who, aud=CLIENT_ID, nonce=asked.nonce, tenant=None, roles=None),
            "token_type": "Bearer",
            "expires_in": lifetime_s,
        }

    @app.get("/logout")
    def logout(post_logout_redirect_uri: str) -> RedirectResponse:
        return RedirectResponse(post_logout_redirect_uri)

    return app, issuer


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--lifetime", type=int, default=300, help="of an access token, in seconds")
    args = parser.parse_args()
    app, _ = make_app(f"http://127.0.0.1:{args.port}", lifetime_s=args.lifetime)
    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
