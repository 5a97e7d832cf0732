"""Backup and restoring: the database, the model registry and the reports, one file with a manifest of hashes.

Left out is what is made again: the embedded model, and the search indexes, of which the database is the source. The
database is copied as of one moment while the service runs; the registry after it, so that every model version that a
decision names is there. Restoring checks every byte before it touches anything, and deletes nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, make_url

from retrieval.pgvector import SCHEMA as VECTORS_SCHEMA
from service.audit import AuditLog
from service.audit_check import AuditCheck
from service.auth import OPERATOR
from service.settings import Settings
from service.storage import alembic_config, make_sessions, migrate, open_database
from verticals.contract import Conflict, Decision, InvalidInput, NotFound, Progress, Unavailable

FORMAT = 1
MANIFEST = "manifest.json"
_FOLDERS = ("registry", "reports")  # under home
_MADE_AGAIN = ("indexes",)  # under home; of another database
_DATABASE = "database"  # folder in the file
_CHECKPOINTS = "-checkpoints"  # beside a SQLite file: what sessions of the agent go on from
_DUMP = "trivium.dump"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes:
        database: "sqlite" or "postgresql".
        revision: Of the schema.
        files: SHA-256 by path within the file.
    """

    format: int
    made_at: str
    database: str
    revision: str
    files: Mapping[str, str]


def back_up(settings: Settings, out: Path, *, progress: Progress) -> Manifest:
    """Write a backup to `out`, which only this user may read; it appears whole or not at all.

    Raises:
        Conflict: `out` is there already.
        NotFound: there is no database yet, or no folder for `out`.
        Unavailable: PostgreSQL's programs are missing or failed.
    """
    if out.exists():
        raise Conflict("is there already", field="FILE", value=str(out), remedy="Name another file.")
    if not out.parent.is_dir():
        raise NotFound("must lie in a folder that exists", field="FILE", value=str(out))
    url = make_url(settings.sqlalchemy_url)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=out.parent) as work:
        root = Path(work) / "content"
        (root / _DATABASE).mkdir(parents=True)
        progress("Copying the database", 0.0)
        revision = _revision(url)
        if revision is None:
            raise NotFound("holds no data yet", field="database", remedy="There is nothing to back up.")
        _copy_sqlite(url, root / _DATABASE) if _is_sqlite(url) else _dump(url, root / _DATABASE / _DUMP)
        for name in _FOLDERS:
            if (settings.home / name).is_dir():
                shutil.copytree(settings.home / name, root / name, ignore=shutil.ignore_patterns(".*"))
        files = {str(path.relative_to(root)): _sha256(path) for path in _files(root)}
        manifest = Manifest(FORMAT, datetime.now(UTC).isoformat(), url.get_backend_name(), revision, files)
        (root / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2))
        part = Path(work) / "backup"
        part.touch(mode=0o600)
        with tarfile.open(part, "w:gz", compresslevel=1) as archive:
            for number, name in enumerate((MANIFEST, *files)):
                progress(f"Packing {name}", number / (len(files) + 1))
                archive.add(root / name, name)
        part.replace(out)
    return manifest


def restore(settings: Settings, file: Path, *, replace: bool, progress: Progress) -> list[AuditCheck]:
    """Bring back what a backup holds, migrate it to this program's schema, and verify every decision chain.

    Args:
        replace: Put the files that are there aside instead of refusing. A PostgreSQL database must be empty.
    Raises:
        InvalidInput: no backup, a damaged one, one of a newer program or of another kind of database.
        Conflict: there is data already, and `replace` was not asked for.
        Unavailable: PostgreSQL's programs are missing or failed.
    """
    url = make_url(settings.sqlalchemy_url)
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.home) as work:
        root = Path(work)
        progress("Reading the backup", 0.0)
        manifest = _unpack(file, root)
        _check(manifest, root, url)
        _refuse_database(url)
        taken = [settings.home / name for name in (*_FOLDERS, *_MADE_AGAIN)] + _sqlite_files(url)
        taken = [path for path in taken if path.exists()]
        if taken and not replace:
            raise Conflict(
                "holds data already",
                field="TRIVIUM_HOME",
                value=str(settings.home),
                remedy="Restore into an empty one, or stop the service and say --replace.",
            )
        progress("Restoring", 0.5)
        _put(root, settings.home, url, taken)
    progress("Verifying the decisions", 0.9)
    migrate(settings.sqlalchemy_url)
    told = {"made_at": manifest.made_at, "schema": manifest.revision, "replaced": bool(taken)}
    return _verify(settings.sqlalchemy_url, Decision("backup.restore", file.name[:128], _sha256(file), told, "none"))


def _put(root: Path, home: Path, url: URL, taken: Sequence[Path]) -> None:
    aside = home / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for path in taken:
        aside.mkdir(exist_ok=True)
        path.rename(aside / path.name)
    if _is_sqlite(url):
        for path in _files(root / _DATABASE):
            target = Path(f"{url.database}{_CHECKPOINTS if path.name.endswith(_CHECKPOINTS) else ''}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    else:
        _load(url, root / _DATABASE / _DUMP)
    for name in _FOLDERS:
        if (root / name).is_dir():
            (root / name).rename(home / name)


# --- a backup's file --------------------------------------------------------------------------------------------------


def _unpack(file: Path, root: Path) -> Manifest:
    if not file.is_file():
        raise NotFound("must be a file that can be read", field="FILE", value=str(file))
    try:
        with tarfile.open(file, "r:gz") as archive:
            archive.extractall(root, filter="data")  # refuses links and paths out of it
        manifest = Manifest(**json.loads((root / MANIFEST).read_text()))
    except (tarfile.TarError, OSError, EOFError, ValueError, TypeError) as error:
        raise _damaged(file, f"cannot be read as a backup: {type(error).__name__}") from error
    held = {str(path.relative_to(root)) for path in _files(root)} - {MANIFEST}
    changed = sorted(held ^ set(manifest.files)) or [n for n in held if _sha256(root / n) != manifest.files[n]]
    if changed:
        raise _damaged(file, f"differs from its manifest in {changed[0]}")
    return manifest


def _damaged(file: Path, rule: str) -> InvalidInput:
    return InvalidInput(rule, field="FILE", value=str(file), remedy="Take an older backup. Nothing was changed.")


def _check(manifest: Manifest, root: Path, url: URL) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config(str(url))).walk_revisions()}
    if manifest.format != FORMAT or manifest.revision not in known:
        raise InvalidInput(
            "was made by a newer Trivium",
            field="FILE",
            value=f"schema {manifest.revision}",
            remedy="Update, then restore.",
        )
    if manifest.database != url.get_backend_name():
        raise InvalidInput(
            f"is of another kind of database than {url.get_backend_name()}",
            field="FILE",
            value=manifest.database,
            remedy="Set TRIVIUM_DATABASE_URL to a database of that kind.",
        )


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- databases --------------------------------------------------------------------------------------------------------


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _revision(url: URL) -> str | None:
    """The schema's revision; None: the database is empty, or not there."""
    if _is_sqlite(url) and not Path(str(url.database)).exists():
        return None
    engine = open_database(url.render_as_string(hide_password=False))
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    return found


def _refuse_database(url: URL) -> None:
    if not _is_sqlite(url) and _revision(url) is not None:
        raise Conflict(
            "holds data already",
            field="TRIVIUM_DATABASE_URL",
            value=url.database,
            remedy="Make an empty database, name it there, and restore into it.",
        )


def _verify(url: str, restored: Decision) -> list[AuditCheck]:
    """Every chain as it came; then each that is whole tells that it was restored."""
    engine = open_database(url)
    audit = AuditLog(make_sessions(engine))
    checks = [audit.verify(tenant) for tenant in audit.tenants()]
    for check in checks:
        if check.broken_at is None:
            audit.record(restored, who={"tenant": check.tenant, **OPERATOR})
    engine.dispose()
    return checks


def _sqlite_files(url: URL) -> list[Path]:
    """Where the files of a SQLite database and of its checkpoints are, if they are."""
    if not _is_sqlite(url):
        return []
    return [Path(f"{url.database}{part}{log}") for part in ("", _CHECKPOINTS) for log in ("", "-wal", "-shm")]


def _copy_sqlite(url: URL, folder: Path) -> None:
    """As of one moment, while others write (https://sqlite.org/backup.html)."""
    for part in ("", _CHECKPOINTS):
        source = Path(f"{url.database}{part}")
        if source.exists():
            with (
                closing(sqlite3.connect(source)) as live,
                closing(sqlite3.connect(folder / f"trivium.db{part}")) as copy,
            ):
                live.backup(copy)


def _dump(url: URL, file: Path) -> None:
    # Vectors are made again from the documents.
    _run(url, "pg_dump", ["--format=custom", "--no-owner", f"--exclude-schema={VECTORS_SCHEMA}", f"--file={file}"])


def _load(url: URL, file: Path) -> None:
    _run(url, "pg_restore", ["--single-transaction", "--no-owner", str(file)])


def _run(url: URL, program: str, options: Sequence[str]) -> None:
    """One of PostgreSQL's own programs.

    A URL's password goes by the environment, where no list of processes shows it; without one libpq looks for it.
    """
    found = shutil.which(program)
    if found is None:
        raise Unavailable(
            f"needs PostgreSQL's program {program}", field="PATH", remedy="Install PostgreSQL's client programs."
        )
    address = url.set(drivername="postgresql", password=None).render_as_string()
    ours = {"PATH": str(Path(found).parent), "PGPASSWORD": str(url.password)}
    done = subprocess.run(  # noqa: S603  (a fixed program, no shell)
        [found, f"--dbname={address}", *options],
        env=ours if url.password else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"{program} failed: {last}", field="TRIVIUM_DATABASE_URL", value=url.database)
