"""An OpenID Connect issuer that signs real tokens, without a network. Ignores how people log in."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://login.example/bank"
AUDIENCE = "trivium"
SETTINGS = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE}


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """One for all tests: making it takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key() -> ec.EllipticCurvePrivateKey:
    """A new one."""
    return ec.generate_private_key(ec.SECP256R1())


def public(key: Any, **members: Any) -> dict[str, Any]:
    """Its public half as an entry of a key set."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), **members}


class FakeIssuer:
    """Publishes the keys in `keys`, by id, and whatever is in `others`; `asked` counts the fetches of them."""

    def __init__(self, url: str = ISSUER) -> None:
        self.url, self.asked, self.is_down = url, 0, False
        self.keys: dict[str, Any] = {"rsa": rsa_key(), "ec": ec_key()}
        self.others: list[dict[str, Any]] = []
        self.discovery = {"issuer": url, "jwks_uri": f"{url}/keys"}
        self.transport = httpx.MockTransport(self._answer)

    def key_set(self) -> dict[str, Any]:
        """As it is published."""
        return {"keys": [*(public(key, kid=kid, use="sig") for kid, key in self.keys.items()), *self.others]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a good token; None leaves one out."""
        now = int(time.time())
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300, "tenant": "acme"}
        return {name: value for name, value in {**good, "roles": ["admin"], **changes}.items() if value is not None}

    def token(self, *, kid: str = "ec", headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token, signed with the published key of this id."""
        key = self.keys[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(self.claims(**claims), key, algorithm, headers={"kid": kid, **(headers or {})})

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("down")
        if request.url.path.endswith("/keys"):
            self.asked += 1
            return httpx.Response(200, json=self.key_set())
        return httpx.Response(200, json=self.discovery)
