"""A token opens what its issuer says, for whom it says; forged, borrowed and outdated ones open nothing."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.auth import Unauthenticated
from service.oidc import KEEP_S, LEEWAY_S, REFRESH_S, RETRY_S, SigningKeys, TokenVerifier, actor_of
from service.settings import Settings
from service.wiring import open_tokens
from tests.service.fake_issuer import ISSUER, SETTINGS, FakeIssuer, ec_key, public, rsa_key
from verticals.contract import PermissionDenied, Unavailable


class Clock:
    """Seconds that a test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(issuer: FakeIssuer, clock: Clock) -> TokenVerifier:
    return TokenVerifier(Settings(**SETTINGS), SigningKeys(ISSUER, transport=issuer.transport, clock=clock))


# --- whom a token speaks for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kid", ["rsa", "ec"])
def test_a_good_token_names_tenant_person_and_scopes(issuer: FakeIssuer, verifier: TokenVerifier, kid: str) -> None:
    caller = verifier.authenticate(issuer.token(kid=kid, roles=["operator", "offline_access"]))

    assert (caller.tenant, caller.key_id, caller.customer) == ("acme", "user:ann", None)
    assert (caller.roles, caller.scopes) == (("operator",), ("models.*", "operations.*", "evals.read"))


def test_roles_come_as_a_list_or_as_words_and_without_any_nothing_is_open(
    issuer: FakeIssuer, verifier: TokenVerifier
) -> None:
    assert verifier.authenticate(issuer.token(roles="auditor operator")).roles == ("auditor", "operator")
    assert verifier.authenticate(issuer.token(roles=None)).scopes == ()
    assert verifier.authenticate(issuer.token(roles=["ADMIN", "*", 7])).scopes == ()


def test_a_person_without_roles_is_told_of_roles_not_of_keys(issuer: FakeIssuer, verifier: TokenVerifier) -> None:
    with pytest.raises(PermissionDenied, match="your roles do not cover the operation"):
        verifier.authenticate(issuer.token(roles=[])).require("finance.score")


def test_the_claims_are_the_ones_that_are_named(issuer: FakeIssuer) -> None:
    settings = Settings(**SETTINGS, oidc_tenant_claim="https://bank/unit", oidc_roles_claim="groups")
    verifier = TokenVerifier(settings, SigningKeys(ISSUER, transport=issuer.transport))

    caller = verifier.authenticate(issuer.token(**{"https://bank/unit": "north", "groups": ["approver"]}))

    assert (caller.tenant, caller.roles) == ("north", ("approver",))


def test_one_person_is_one_actor_whatever_the_token(issuer: FakeIssuer, verifier: TokenVerifier) -> None:
    first, second = (verifier.authenticate(issuer.token(kid=kid, jti=kid)) for kid in ("rsa", "ec"))

    assert first.key_id == second.key_id != verifier.authenticate(issuer.token(sub="bob")).key_id


def test_a_long_subject_fits_where_actors_are_kept_and_stays_its_own() -> None:
    long, other = actor_of("a" * 300), actor_of("a" * 299 + "b")

    assert len(long) <= 64
    assert long != other


def test_a_token_that_was_checked_is_known_until_it_expires(issuer: FakeIssuer, verifier: TokenVerifier) -> None:
    good, forged = issuer.token(exp=str(int(time.time()) + 300)), FakeIssuer().token()  # a number's text is a number
    over = issuer.token(exp=int(time.time()) - LEEWAY_S // 2)
    assert verifier.known(good) is None

    checked = [verifier.authenticate(token) for token in (good, over)]
    with pytest.raises(Unauthenticated):
        verifier.authenticate(forged)

    assert verifier.known(good) == checked[0]
    assert (verifier.known(over), verifier.known(forged), verifier.known("")) == (None, None, None)


def test_a_token_that_is_refused_is_known_no_more(issuer: FakeIssuer, verifier: TokenVerifier, clock: Clock) -> None:
    verifier.authenticate(token := issuer.token())
    issuer.keys = {"next": ec_key()}
    clock.now_s += REFRESH_S

    with pytest.raises(Unauthenticated, match="does not publish"):
        verifier.authenticate(token)

    assert verifier.known(token) is None


def test_clocks_may_be_apart_a_little(issuer: FakeIssuer, verifier: TokenVerifier) -> None:
    now = int(time.time())

    verifier.authenticate(issuer.token(exp=now - LEEWAY_S + 10))
    verifier.authenticate(issuer.token(nbf=now + LEEWAY_S - 10, iat=now + LEEWAY_S - 10))


# --- attacks ----------------------------------------------------------------------------------------------------------


def _part(content: dict[str, Any]) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _unsigned(issuer: FakeIssuer) -> str:
    return f"{_part({'alg': 'none', 'kid': 'ec'})}.{_part(issuer.claims())}."


def _public_key_as_secret(issuer: FakeIssuer) -> str:
    """The classic confusion: the published key is no secret, so as one it must not count. PyJWT would not sign it."""
    secret = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{_part({'alg': 'HS256', 'kid': 'rsa'})}.{_part(issuer.claims())}"
    return f"{signed}.{_base64(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _by_another(issuer: FakeIssuer, **headers: Any) -> str:
    return jwt.encode(issuer.claims(), ec_key(), "ES256", headers={"kid": "ec", **headers})


def _with_own_key(issuer: FakeIssuer, kid: str) -> str:
    key = ec_key()
    return jwt.encode(issuer.claims(), key, "ES256", headers={"kid": kid, "jwk": public(key, kid=kid)})


def _edited(issuer: FakeIssuer) -> str:
    head, _, signature = issuer.token().split(".")
    return f"{head}.{_part(issuer.claims(tenant='other'))}.{signature}"


NOW = int(time.time())
ATTACKS: dict[str, tuple[Callable[[FakeIssuer], str], str]] = {
    "no signature": (_unsigned, "must be an access token signed with RS256 or ES256"),
    "the public key as a secret": (_public_key_as_secret, "must be an access token signed"),
    "an algorithm that is not ours": (
        lambda one: jwt.encode(one.claims(), rsa_key(), "RS512", headers={"kid": "rsa"}),
        "must be an access token signed",
    ),
    "one key's name, the other's algorithm": (
        lambda one: jwt.encode(one.claims(), one.keys["ec"], "ES256", headers={"kid": "rsa"}),
        "is not a valid token of the issuer",
    ),
    "a damaged signature": (lambda one: one.token()[:-8] + "AAAAAAAA", "is not a valid token of the issuer"),
    "somebody else's key": (_by_another, "is not a valid token of the issuer"),
    "a key that the header brings": (lambda one: _with_own_key(one, "ec"), "is not a valid token of the issuer"),
    "a key that only the header knows": (lambda one: _with_own_key(one, "mine"), "the issuer does not publish"),
    "a key at the header's address": (
        lambda one: _by_another(one, jku="https://evil.example/keys"),
        "not a valid token",
    ),
    "an extension that must be understood": (lambda one: one.token(headers={"crit": ["x"], "x": 1}), "not a valid"),
    "an unknown key": (lambda one: one.token(headers={"kid": "old"}), "the issuer does not publish"),
    "no key's name": (lambda one: jwt.encode(one.claims(), one.keys["ec"], "ES256"), "the issuer does not publish"),
    "a log-out token": (lambda one: one.token(headers={"typ": "logout+jwt"}), "must be an access token"),
    "an edited claim": (_edited, "is not a valid token of the issuer"),
    "another audience": (lambda one: one.token(aud="payroll"), "is for another audience"),
    "no audience": (lambda one: one.token(aud=None), "lacks a claim"),
    "another issuer": (lambda one: one.token(iss="https://evil.example"), "is from another issuer"),
    "an issuer that begins alike": (lambda one: one.token(iss=ISSUER + "/x"), "is from another issuer"),
    "expired": (lambda one: one.token(exp=NOW - LEEWAY_S - 60), "has expired"),
    "without an end": (lambda one: one.token(exp=None), "lacks a claim"),
    "not valid yet": (lambda one: one.token(nbf=NOW + 600), "is not valid yet"),
    "from the future": (lambda one: one.token(iat=NOW + 600), "is not valid yet"),
    "of nobody": (lambda one: one.token(sub=""), "names nobody"),
    "without a subject": (lambda one: one.token(sub=None), "lacks a claim"),
    "without a tenant": (lambda one: one.token(tenant=None), "must name a tenant in its claim 'tenant'"),
    "a path for a tenant": (lambda one: one.token(tenant="../acme"), "must name a tenant"),
    "two tenants": (lambda one: one.token(tenant=["acme", "other"]), "must name a tenant"),
    "roles that are no list": (lambda one: one.token(roles={"admin": True}), "must list roles"),
    "no token at all": (lambda _: "sk-123", "is not a valid token"),
    "three parts of nothing": (lambda _: "..", "is not a valid token"),
    "letters of no encoding": (lambda _: "\u00e9.\u00e9.\u00e9", "is not a valid token"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_token_that_breaks_a_rule_opens_nothing(issuer: FakeIssuer, verifier: TokenVerifier, name: str) -> None:
    forge, told = ATTACKS[name]
    token = forge(issuer)

    with pytest.raises(Unauthenticated, match=told) as refusal:
        verifier.authenticate(token)
    assert token not in str(refusal.value)


# --- the issuer's keys ------------------------------------------------------------------------------------------------


def test_keys_are_fetched_once_for_many_tokens(issuer: FakeIssuer, verifier: TokenVerifier) -> None:
    for _ in range(5):
        verifier.authenticate(issuer.token())

    assert issuer.asked == 1


def test_a_new_key_is_fetched_when_a_token_names_it(issuer: FakeIssuer, verifier: TokenVerifier, clock: Clock) -> None:
    verifier.authenticate(issuer.token())
    issuer.keys = {"next": ec_key()}
    clock.now_s += RETRY_S

    verifier.authenticate(issuer.token(kid="next"))


def test_a_withdrawn_key_stops_counting(issuer: FakeIssuer, verifier: TokenVerifier, clock: Clock) -> None:
    token = issuer.token()
    verifier.authenticate(token)
    issuer.keys = {"next": ec_key()}
    clock.now_s += REFRESH_S

    with pytest.raises(Unauthenticated, match="does not publish"):
        verifier.authenticate(token)


def test_made_up_keys_do_not_make_us_ask_again_and_again(
    issuer: FakeIssuer, verifier: TokenVerifier, clock: Clock
) -> None:
    for number in range(100):
        clock.now_s += RETRY_S / 50
        with pytest.raises(Unauthenticated, match="does not publish"):
            verifier.authenticate(issuer.token(headers={"kid": f"made-up-{number}"}))

    assert issuer.asked <= 3


def test_an_issuer_that_never_answered_lets_nobody_in(
    issuer: FakeIssuer, verifier: TokenVerifier, clock: Clock
) -> None:
    issuer.is_down = True
    with pytest.raises(Unavailable, match="no token can be checked"):
        verifier.authenticate(issuer.token())

    issuer.is_down = False
    clock.now_s += RETRY_S
    verifier.authenticate(issuer.token())


def test_an_issuer_that_is_away_for_a_while_is_believed_by_its_last_keys(
    issuer: FakeIssuer, verifier: TokenVerifier, clock: Clock
) -> None:
    verifier.authenticate(issuer.token())
    issuer.is_down = True
    clock.now_s += REFRESH_S * 2

    verifier.authenticate(issuer.token())
    clock.now_s += KEEP_S
    with pytest.raises(Unavailable, match="cannot be fetched"):
        verifier.authenticate(issuer.token())


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "kid": "ec", "k": "c2VjcmV0"},
        {"kty": "OKP", "kid": "ec", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "RSA"},
        "no object",
        public(rsa_key(1024), kid="ec"),
        public(ec_key(), kid="ec", use="enc"),
        public(rsa_key(), kid="ec", alg="RS512"),
    ],
    ids=["symmetric", "another kind", "no numbers", "no object", "too short", "for secrecy", "another algorithm"],
)
def test_a_key_that_is_not_for_signing_in_our_way_is_not_taken(issuer: FakeIssuer, entry: Any) -> None:
    issuer.keys, issuer.others = {}, [entry]
    keys = SigningKeys(ISSUER, transport=issuer.transport)

    with pytest.raises(Unavailable, match="cannot be fetched"):
        keys.find("ec")


@pytest.mark.parametrize("changed", [{"issuer": "https://evil.example"}, {"jwks_uri": "http://login.example/keys"}])
def test_a_discovery_document_that_is_not_the_issuers_is_not_followed(
    issuer: FakeIssuer, changed: dict[str, str]
) -> None:
    issuer.discovery |= changed

    with pytest.raises(Unavailable, match="cannot be fetched"):
        SigningKeys(ISSUER, transport=issuer.transport).find("ec")
    assert issuer.asked == 0


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_certifies_nobody_is_named(tmp_path: Path, content: str | None) -> None:
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_text(content)

    with pytest.raises(Unavailable, match="TRIVIUM_OIDC_CA: names no file of certificates"):
        open_tokens(Settings(**SETTINGS, oidc_ca=str(ca)))


def test_the_keys_address_may_be_set(issuer: FakeIssuer) -> None:
    issuer.discovery = {}

    assert SigningKeys(ISSUER, f"{ISSUER}/keys", transport=issuer.transport).find("ec")
