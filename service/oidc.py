"""Access tokens of an OpenID Connect issuer: who they speak for. Ignores how people log in, and API keys.

Checked are signature (RS256 or ES256, with a key that the issuer publishes), issuer, audience, times and type
(RFC 9068, RFC 8725). Tenant and roles come from named claims. A header's own keys and addresses (`jwk`, `jku`, `x5u`)
are never looked at. Nothing that cannot be checked is let in: an issuer that cannot be asked is a 503.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from service.auth import MAX_RECENT, PERSON, Caller, Unauthenticated
from service.roles import ROLES, scopes_of
from service.settings import Settings
from verticals.contract import Unavailable

ALGORITHMS = ("RS256", "ES256")
TYPES = ("jwt", "at+jwt", "application/at+jwt")  # others (a logout's, a proof's) are signed with the same keys
LEEWAY_S = 30  # how far two clocks may be apart
TIMEOUT_S = 3.0
RETRY_S = 10.0  # the issuer is asked at most so often, whatever tokens come in
REFRESH_S = 300.0  # older keys are fetched again
KEEP_S = 86_400.0  # the last keys of an issuer that does not answer count so long
MIN_RSA_BITS = 2048
MAX_ACTOR = 64  # the shortest column that keeps who acted
TENANT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FAULTS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "has expired"),
    (jwt.ImmatureSignatureError, "is not valid yet"),
    (jwt.InvalidAudienceError, "is for another audience"),
    (jwt.InvalidIssuerError, "is from another issuer"),
    (jwt.MissingRequiredClaimError, "lacks a claim; it needs iss, aud, sub, exp and iat"),
)
_log = structlog.get_logger()


class SigningKeys:
    """The keys that an issuer publishes, kept a while and fetched again when a token names a new one.

    Args:
        issuer: Its address.
        jwks_url: Where its keys are; empty: where its discovery document says.
        transport: An httpx transport instead of the network, for tests.
        ca: PEM file of who certifies the issuer; empty: the public ones.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        issuer: str,
        jwks_url: str = "",
        *,
        transport: httpx.BaseTransport | None = None,
        ca: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer, self._jwks_url, self._clock = issuer, jwks_url, clock
        verify = ssl.create_default_context(cafile=ca) if ca else True
        self._http = httpx.Client(transport=transport, trust_env=False, timeout=TIMEOUT_S, verify=verify)
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_s = self._tried_s = -KEEP_S
        self._lock = threading.Lock()

    def find(self, kid: str) -> jwt.PyJWK | None:
        """The published key of this id; None if there is none.

        Raises:
            Unavailable: no keys are known, or they are too old, and the issuer does not answer.
        """
        # Who has a key that is merely old does not wait for those who fetch.
        if self._wants(kid) and self._lock.acquire(blocking=kid not in self._keys):
            try:
                if self._wants(kid):
                    self._fetch()
            finally:
                self._lock.release()
        if not self._keys or self._clock() - self._fetched_s > KEEP_S:
            raise Unavailable(
                "the issuer's keys cannot be fetched, so no token can be checked",
                field="TRIVIUM_OIDC_ISSUER",
                remedy="Try again; the log says why. API keys go on working.",
            )
        return self._keys.get(kid)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _wants(self, kid: str) -> bool:
        now = self._clock()
        return now - self._tried_s >= RETRY_S and (kid not in self._keys or now - self._fetched_s >= REFRESH_S)

    def _fetch(self) -> None:
        """Replace the keys; on failure those that are there stay."""
        self._tried_s = self._clock()
        try:
            self._keys = _usable(self._get(self._jwks_url or self._discovered()))
        except (httpx.HTTPError, ValueError) as error:
            why = {"error": type(error).__name__, "reason": str(error)}
            _log.warning("the issuer's keys were not fetched", issuer=self._issuer, **why)
        else:
            self._fetched_s = self._clock()

    def _discovered(self) -> str:
        document = self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        url = str(document.get("jwks_uri", ""))
        if document.get("issuer") != self._issuer or not url.startswith(self._issuer.partition("://")[0]):
            raise ValueError("the discovery document is another issuer's, or names keys on a weaker connection")
        return url

    def _get(self, url: str) -> Mapping[str, Any]:
        document = self._http.get(url).raise_for_status().json()
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        return document


class TokenVerifier:
    """Turns access tokens into callers; built by wiring if an issuer is set."""

    def __init__(self, settings: Settings, keys: SigningKeys) -> None:
        self._settings, self._keys = settings, keys
        self._known: dict[bytes, tuple[Caller, int]] = {}  # by the token's hash: until its `exp`
        self._lock = threading.Lock()

    def authenticate(self, token: str) -> Caller:
        """Who `token` speaks for.

        Raises:
            Unauthenticated: it breaks one of the rules above.
            Unavailable: the issuer's keys are not known.
        """
        digest = hashlib.sha256(token.encode()).digest()
        try:
            claims = self._claims(token)
            caller = self._caller(claims)
        except Unauthenticated:
            with self._lock:
                self._known.pop(digest, None)
            raise
        with self._lock:
            self._known.pop(digest, None)  # so that the first is the one that was checked longest ago
            self._known[digest] = caller, int(claims["exp"])
            if len(self._known) > MAX_RECENT:
                del self._known[next(iter(self._known))]
        return caller

    def known(self, token: str) -> Caller | None:
        """Who `token` speaks for, if it was let in and has not expired; good for counting, not for opening anything."""
        caller, until = self._known.get(hashlib.sha256(token.encode()).digest(), (None, 0))
        return caller if time.time() < until else None

    def close(self) -> None:
        """Close the connections to the issuer."""
        self._keys.close()

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS or str(header.get("typ", "jwt")).lower() not in TYPES:
                raise _refused(f"must be an access token signed with {' or '.join(ALGORITHMS)}")
            key = self._keys.find(str(header.get("kid", "")))
            if key is None:
                raise _refused("is signed with a key that the issuer does not publish")
            return jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=LEEWAY_S,
                options={"require": ["iss", "aud", "sub", "exp", "iat"]},
            )
        except (jwt.PyJWTError, ValueError) as error:  # ValueError: of texts that are no token at all
            found = (rule for kind, rule in _FAULTS if isinstance(error, kind))
            raise _refused(next(found, "is not a valid token of the issuer")) from None

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        tenant, roles = claims.get(self._settings.oidc_tenant_claim), claims.get(self._settings.oidc_roles_claim, [])
        if not claims["sub"]:
            raise _refused("names nobody: its claim sub is empty")
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
            raise _refused(f"must name a tenant in its claim {self._settings.oidc_tenant_claim!r}")
        if isinstance(roles, str):
            roles = roles.split()
        if not isinstance(roles, list):
            raise _refused(f"must list roles in its claim {self._settings.oidc_roles_claim!r}")
        known = tuple(role for role in ROLES if role in roles)  # an issuer has others, for other services
        return Caller(tenant=tenant, key_id=actor_of(claims["sub"]), scopes=scopes_of(known), roles=known)


def actor_of(subject: str) -> str:
    """What a person is called where it is kept who acted; no API key's id looks like it."""
    plain = f"{PERSON}{subject}"
    return plain if len(plain) <= MAX_ACTOR else f"{PERSON}{hashlib.sha256(subject.encode()).hexdigest()[:48]}"


def _usable(document: Mapping[str, Any]) -> Mapping[str, jwt.PyJWK]:
    """By id, the keys that sign in one of our algorithms; never a symmetric one.

    Raises:
        ValueError: there is none.
    """
    found: dict[str, jwt.PyJWK] = {}
    listed = document.get("keys")
    for entry in listed if isinstance(listed, list) else []:
        try:
            if entry["kty"] not in ("RSA", "EC") or entry.get("use", "sig") != "sig":
                continue
            key = jwt.PyJWK(entry)
            weak = isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS
            if key.algorithm_name in ALGORITHMS and not weak:
                found[str(entry["kid"])] = key
        except (jwt.PyJWTError, KeyError, TypeError, AttributeError):
            continue  # of a kind that we do not know; another may do
    if not found:
        raise ValueError("no key signs with any of our algorithms")
    return found


def _refused(rule: str) -> Unauthenticated:
    return Unauthenticated(f"the token {rule}", field="Authorization", remedy="Log in again.")
