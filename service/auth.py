"""API keys: random, hashed at rest, scoped to operations of one tenant, rotated. Ignores how a key travels."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import JSON, String, select, update
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from service.audit import AuditLog
from service.roles import covers
from service.storage import Base
from verticals.contract import Conflict, Decision, PermissionDenied, Time, TriviumError
from verticals.undisturbed import hold

KEY_PREFIX = "tvm"
PERSON = "user:"  # before a token's subject; no key's id begins so
RECENT_S = 2.0  # how long a checked key is known; a revocation by another process shows after so long at most
REFRESH_S = 1.0  # a known key that is in use is checked again meanwhile
MAX_RECENT = 10_000
OPERATOR = {"actor": "cli", "request_id": "cli"}  # whoever may run commands on this machine
NO_DIGEST = "0" * 64  # of no known text
USE_NOTED_EVERY = timedelta(minutes=5)  # how exactly a key's last use is known; each note is a write


class Unauthenticated(TriviumError):
    """No key, or one that is unknown, expired or revoked; which of them is not told."""

    status = 401
    title = "Unauthenticated"


class ApiKey(Base):
    """A key. The secret has 256 random bits, so a plain SHA-256 suffices; nothing slow is needed per request."""

    __tablename__ = "api_keys"

    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    label: Mapped[str] = mapped_column(String(128))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    customer: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime | None] = mapped_column(Time)
    revoked_at: Mapped[datetime | None] = mapped_column(Time)
    previous_sha256: Mapped[str | None] = mapped_column(String(64))  # of the secret before the last rotation
    previous_until: Mapped[datetime | None] = mapped_column(Time)
    last_used_at: Mapped[datetime | None] = mapped_column(Time)  # to five minutes


@dataclass(frozen=True)
class Caller:
    """Who a request comes from. `scopes` are `vertical.operation`, `vertical.*` or `*`.

    `key_id` is the id of the API key, or `user:` and the subject of a person's token; `roles` are that person's.
    With a `customer`, the key is that customer's own: it has no scopes, and operations for customers are open to it.
    """

    tenant: str
    key_id: str
    scopes: tuple[str, ...]
    customer: str | None = None
    roles: tuple[str, ...] = ()

    def who(self, request_id: str) -> dict[str, str]:
        """Whom the audit trail names for a request."""
        return {"tenant": self.tenant, "actor": self.key_id, "request_id": request_id}

    def require(self, scope: str) -> None:
        """Check that the key, or the person's roles, cover `scope`.

        Raises:
            PermissionDenied: they do not.
        """
        if not covers(self.scopes, scope):
            what = "your roles do" if self.key_id.startswith(PERSON) else "this key does"
            raise PermissionDenied(f"{what} not cover the operation", field="scope", value=scope)

    def require_operator(self, scope: str) -> None:
        """Check that the key names `scope` or its area: what touches every tenant is not part of "*".

        Raises:
            PermissionDenied: it does not.
        """
        if not covers([own for own in self.scopes if own != "*"], scope):
            raise PermissionDenied(
                "this key does not cover the operation, and * does not include it",
                field="scope",
                value=scope,
                remedy=f"`trivium keys issue --scope {scope}` makes one that does.",
            )


@dataclass
class _Known:
    """A key that was checked a moment ago."""

    caller: Caller
    until_s: float
    refresh_s: float


class KeyRing:
    """Issues, checks, rotates and revokes keys; all but checking is an entry of the tenant's audit trail.

    Args:
        sessions: Of the database.
        clock: Seconds, never going back.
    """

    def __init__(self, sessions: sessionmaker[Session], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions, self._clock, self._audit = sessions, clock, AuditLog(sessions)
        self._known: dict[str, _Known] = {}  # by the key's hash
        self._revocations = 0
        self._lock = threading.Lock()

    def issue(
        self,
        *,
        tenant: str,
        label: str,
        scopes: Sequence[str] = ("*",),
        lifetime: timedelta | None = None,
        customer: str | None = None,
        by: Mapping[str, str] = OPERATOR,
    ) -> str:
        """A new key, shown this once: only its hash is stored. A customer's has no scopes.

        `by` is who issues it: actor and request_id.
        """
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        row = ApiKey(
            key_id=key_id,
            tenant=tenant,
            label=label,
            secret_sha256=_digest(secret),
            scopes=list(scopes) if customer is None else [],
            customer=customer,
            created_at=now,
            expires_at=now + lifetime if lifetime else None,
        )
        with self._sessions.begin() as session:
            session.add(row)
            self._note("keys.issue", row, by, session)
        return f"{KEY_PREFIX}_{key_id}_{secret}"

    def rotate(self, key_id: str, *, grace: timedelta, by: Mapping[str, str] = OPERATOR) -> str | None:
        """The key with a new secret, shown this once; the old one opens it until `grace` is over.

        Its id stays, and with it who acted in the audit trail: a rotated key is no second person. None when there is
        no such key.

        Raises:
            Conflict: it has expired or was revoked.
        """
        secret = secrets.token_urlsafe(32)
        with self._sessions.begin() as session:
            hold(session, ApiKey, ApiKey.key_id == key_id)  # else two who rotate at once both keep the old secret
            row = session.get(ApiKey, key_id)
            if row is None:
                return None
            if not _opens_for_s(row, row.secret_sha256):
                raise Conflict(
                    "has expired or was revoked", field="KEY_ID", value=key_id, remedy="Issue another: `keys issue`."
                )
            row.previous_sha256, row.secret_sha256 = row.secret_sha256, _digest(secret)
            row.previous_until = datetime.now(UTC) + grace
            self._note("keys.rotate", row, by, session)
        self._forget_known()
        return f"{KEY_PREFIX}_{key_id}_{secret}"

    def authenticate(self, key: str) -> Caller:
        """Who holds `key`.

        Raises:
            Unauthenticated: unknown, expired or revoked.
        """
        prefix, _, rest = key.partition("_")
        key_id, _, secret = rest.partition("_")
        revocations = self._revocations
        with self._sessions() as session:
            row = session.get(ApiKey, key_id) if prefix == KEY_PREFIX else None
        left_s = _opens_for_s(row, _digest(secret))
        if row is None or not left_s:
            self._known.pop(_digest(key), None)
            raise Unauthenticated(
                "the API key is unknown, expired or revoked",
                field="Authorization",
                remedy="Send `Authorization: Bearer <key>`; `trivium keys issue` makes a key.",
            )
        caller = Caller(tenant=row.tenant, key_id=row.key_id, scopes=tuple(row.scopes), customer=row.customer)
        with self._lock:
            if revocations == self._revocations:  # else it may be the very key
                self._remember(_digest(key), caller, min(left_s, RECENT_S))
        self._note_use(row)
        return caller

    def _note_use(self, row: ApiKey) -> None:
        now = datetime.now(UTC)
        if row.last_used_at is not None and now - row.last_used_at < USE_NOTED_EVERY:
            return
        try:
            with self._sessions.begin() as session:
                session.execute(update(ApiKey).where(ApiKey.key_id == row.key_id).values(last_used_at=now))
        except (OperationalError, InternalError):
            pass  # a database that is busy, full or read-only still answers what only reads

    def recent(self, key: str) -> tuple[Caller, bool] | None:
        """Who holds `key`, if it was checked a moment ago, and whether to check it again meanwhile; asks no database.

        One caller is told to check; the others go on.
        """
        known, now = self._known.get(_digest(key)), self._clock()
        if known is None or now >= known.until_s:
            return None
        is_due = now >= known.refresh_s
        if is_due:
            known.refresh_s = known.until_s
        return known.caller, is_due

    def known(self, key: str) -> Caller | None:
        """Who holds `key`, if it was checked a moment ago; good for counting, not for opening anything."""
        known = self._known.get(_digest(key))
        return known.caller if known else None

    def _remember(self, digest: str, caller: Caller, for_s: float) -> None:
        now = self._clock()
        if len(self._known) >= MAX_RECENT:
            self._known = {old: known for old, known in self._known.items() if now < known.until_s}
        if len(self._known) < MAX_RECENT:
            self._known[digest] = _Known(caller, now + for_s, now + min(REFRESH_S, for_s))

    def revoke(self, key_id: str, *, by: Mapping[str, str] = OPERATOR) -> bool:
        """End a key now; False when there is no such key. `by` is who does it."""
        with self._sessions.begin() as session:
            row = session.get(ApiKey, key_id)
            if row is not None:
                row.revoked_at = datetime.now(UTC)
                self._note("keys.revoke", row, by, session)
        self._forget_known()
        return row is not None

    def revoke_labelled(self, label: str) -> int:
        """End every key of this label now; how many there were."""
        now = datetime.now(UTC)
        alive = (ApiKey.label == label, ApiKey.revoked_at.is_(None), ApiKey.expires_at > now)
        with self._sessions() as session:
            found = session.scalars(select(ApiKey.key_id).where(*alive)).all()
        return sum(self.revoke(key_id) for key_id in found)

    def _forget_known(self) -> None:
        with self._lock:
            self._revocations += 1
            self._known.clear()

    def _note(self, kind: str, row: ApiKey, by: Mapping[str, str], session: Session) -> None:
        """Into the audit trail: which key, with which rights; neither its label nor whose customer's it is."""
        outcome = {
            "scopes": row.scopes,
            "for_customer": row.customer is not None,
            "expires_at": row.expires_at and row.expires_at.isoformat(),
            **({"old_secret_until": row.previous_until.isoformat()} if row.previous_until else {}),
        }
        decision = Decision(kind, row.key_id, row.secret_sha256, outcome, "none")
        who = {"tenant": row.tenant, "actor": by["actor"], "request_id": by["request_id"]}
        self._audit.record(decision, who=who, session=session)

    def list(self, tenant: str | None = None) -> list[ApiKey]:
        """Keys without their secrets, newest first."""
        query = select(ApiKey).order_by(ApiKey.created_at.desc())
        with self._sessions() as session:
            return [*session.scalars(query if tenant is None else query.where(ApiKey.tenant == tenant))]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _opens_for_s(row: ApiKey | None, digest: str) -> float:
    """How long a secret of this hash opens the key yet, in seconds; 0: it does not."""
    present, previous = (row.secret_sha256, row.previous_sha256) if row else (None, None)
    # Both are compared whatever the first says, and without a row too: the time taken tells nothing.
    is_present, is_previous = (hmac.compare_digest(kept or NO_DIGEST, digest) for kept in (present, previous))
    if row is None or row.revoked_at is not None or not (is_present or is_previous):
        return 0.0
    ends = (row.expires_at, None if is_present else row.previous_until)
    left_s = [(end - datetime.now(UTC)).total_seconds() for end in ends if end is not None]
    return max(0.0, min(left_s, default=math.inf))
