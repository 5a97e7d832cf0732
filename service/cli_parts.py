"""What commands share: files read and written, trained models told, the parts that need no language model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.auth import OPERATOR
from service.settings import Settings, read_settings
from verticals.contract import Context, Decision, InvalidInput, ModelCard, NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, sessionmaker

    from service.audit import AuditLog
    from service.registry import FileRegistry


@dataclass(frozen=True)
class Parts:
    """What these commands need of the kit."""

    registry: FileRegistry
    sessions: sessionmaker[Session]
    audit: AuditLog

    def context(self, tenant: str, *, actor: str = "cli") -> Context:
        """The operator at the command line, or who else acts for the tenant."""
        who = operator_of(tenant, actor)
        return Context(**who, record=partial(self.audit.record, who=who))


def operator_of(tenant: str, actor: str = "cli") -> dict[str, str]:
    """Whom the audit trail names for a command: whoever may run it on this machine."""
    return {"tenant": tenant, "actor": actor, "request_id": actor}


@contextmanager
def open_parts(settings: Settings | None = None) -> Iterator[Parts]:
    """The parts over the settings' database and registry; the schema is brought up to date."""
    from service.audit import AuditLog
    from service.registry import FileRegistry
    from service.storage import make_sessions, migrate, open_database

    settings = settings or read_settings()
    migrate(settings.sqlalchemy_url)
    database = open_database(settings.sqlalchemy_url)
    sessions = make_sessions(database)
    try:
        yield Parts(FileRegistry(settings.home / "registry"), sessions, AuditLog(sessions))
    finally:
        database.dispose()


def put_in_force(name: str, files: Mapping[str, bytes], card: Mapping[str, Any]) -> ModelCard:
    """Register a trained model as the active version, and tell so in every chain."""
    with open_parts() as parts:
        made = parts.registry.save(name, files, card)
        note_model(parts, made)
        return made


def note_model(parts: Parts, made: ModelCard) -> None:
    """That a model came into force, in every chain: it decides for all of them."""
    version = f"{made.name}@{made.version}"
    told = {"trained_on": made.trained_on, "licence": made.licence}
    parts.audit.record_everywhere(Decision("models.register", made.name, made.sha256, told, version), by=OPERATOR)


def require_file(file: Path, *, field: str = "FILE") -> None:
    """Raises NotFound: there is no such file."""
    if not file.is_file():
        raise NotFound("must be a file that can be read", field=field, value=str(file))


def require_url(url: str) -> str:
    """The address of a service, without a slash at its end.

    Raises:
        InvalidInput: it is none of HTTP.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidInput("must begin with http:// or https://", field="--url", value=url)
    return url.rstrip("/")


def key_in(file: Path) -> str:
    """The key on the first line of a file.

    Raises:
        NotFound: there is no such file.
    """
    require_file(file, field="--key-file")
    return file.read_text().split("\n", 1)[0].strip()


def write_whole(out: Path, chunks: Iterable[bytes]) -> None:
    """Write a file as it is made; it appears whole or not at all, and what was there stays until then."""
    part = out.with_name(out.name + ".part")
    try:
        with part.open("wb") as target:
            target.writelines(chunks)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def print_card(card: ModelCard, *, digits: int) -> None:
    """What was trained, each figure with its interval, and the limits."""
    print(f"{card.name}@{card.version}: {card.trained_on}")
    for name, (value, low, high) in card.metrics.items():
        print(f"{name}: {value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
    print(card.limits)
