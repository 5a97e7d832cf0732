"""A backup holds what cannot be made again, comes back whole, and never writes over anything."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from service.audit import AuditLog
from service.auth import KeyRing
from service.backup import MANIFEST, back_up, restore
from service.registry import FileRegistry
from service.settings import Settings
from service.storage import make_sessions, migrate, open_database
from tests import databases
from verticals.contract import Conflict, Decision, InvalidInput, NotFound, Progress
from verticals.support.checkpoints import open_checkpointer

WHO = {"tenant": "bank", "actor": "analyst", "request_id": "r1"}
CARD = {"trained_on": "x", "licence": "y", "recipe": {}, "metrics": {}, "limits": "z"}


def quiet(what: str, share: float) -> None:
    """No progress is told."""


on_progress: Progress = quiet


def decision(number: int) -> Decision:
    return Decision("score", str(number), "ab" * 32, {"points": number}, "m@1", "p@1")


def filled(settings: Settings) -> str:
    """A home with a key, two decisions, a checkpoint, a model and a report; the key."""
    migrate(settings.sqlalchemy_url)
    engine = open_database(settings.sqlalchemy_url)
    sessions = make_sessions(engine)
    key = KeyRing(sessions).issue(tenant="bank", label="till")
    AuditLog(sessions).record(decision(1), decision(2), who=WHO)
    open_checkpointer(engine)
    engine.dispose()
    FileRegistry(settings.home / "registry").save("finance.card", {"card": b"weights"}, CARD)
    settings.reports.mkdir()
    (settings.reports / "night.json").write_text("{}")
    return key


def emptied(settings: Settings, home: Path) -> Settings:
    """The settings of a new machine: another home, an empty database of the same kind."""
    url = settings.database_url.get_secret_value()
    if url.startswith("sqlite"):
        return settings.model_copy(update={"home": home, "database_url": SecretStr(f"sqlite:///{home / 'new.db'}")})
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return settings.model_copy(update={"home": home})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_what_is_backed_up_comes_back_whole(database_url: str, tmp_path: Path) -> None:
    old = Settings(home=tmp_path / "home", database_url=SecretStr(database_url))
    key, file = filled(old), tmp_path / "a.trivium"
    manifest = back_up(old, file, progress=on_progress)
    new = emptied(old, tmp_path / "elsewhere")

    (check,) = restore(new, file, replace=False, progress=on_progress)

    assert (check.tenant, check.entries, check.broken_at) == ("bank", 3, None)  # the key's issue, and two decisions
    engine = open_database(new.sqlalchemy_url)
    told = AuditLog(make_sessions(engine)).entries("bank")[0]
    assert (told["kind"], told["outcome"]["made_at"]) == ("backup.restore", manifest.made_at)
    assert KeyRing(make_sessions(engine)).authenticate(key).tenant == "bank"
    assert open_checkpointer(engine).get_tuple({"configurable": {"thread_id": "none"}}) is None
    engine.dispose()
    loaded = FileRegistry(new.home / "registry").load("finance.card")
    assert loaded is not None
    assert loaded[1]["card"].read_bytes() == b"weights"
    assert (new.reports / "night.json").read_text() == "{}"
    assert file.stat().st_mode & 0o077 == 0
    assert {name.split("/")[0] for name in manifest.files} == {"database", "registry", "reports"}
    assert [path.name for path in new.home.iterdir() if path.name.startswith(".")] == []


def test_a_backup_taken_while_decisions_are_written_has_a_whole_chain(settings: Settings, tmp_path: Path) -> None:
    filled(settings)
    engine, done = open_database(settings.sqlalchemy_url), threading.Event()

    def write() -> None:
        audit, number = AuditLog(make_sessions(engine)), 3
        while not done.is_set():
            audit.record(decision(number), who=WHO)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        back_up(settings, tmp_path / "a", progress=on_progress)
    finally:
        done.set()
        writer.join()
        engine.dispose()

    (check,) = restore(Settings(home=tmp_path / "new"), tmp_path / "a", replace=False, progress=on_progress)
    assert check.entries >= 2
    assert check.broken_at is None


def test_nothing_is_written_over(settings: Settings, tmp_path: Path) -> None:
    key, file = filled(settings), tmp_path / "a"
    back_up(settings, file, progress=on_progress)
    before = (settings.home / "registry/finance.card/active").read_text()

    with pytest.raises(Conflict, match="is there already"):
        back_up(settings, file, progress=on_progress)
    with pytest.raises(Conflict, match="holds data already"):
        restore(settings, file, replace=False, progress=on_progress)
    restore(settings, file, replace=True, progress=on_progress)

    (aside,) = settings.home.glob("before-restore-*")
    assert (aside / "registry/finance.card/active").read_text() == before
    assert (aside / "trivium.db").exists()
    engine = open_database(settings.sqlalchemy_url)
    assert KeyRing(make_sessions(engine)).authenticate(key).tenant == "bank"
    engine.dispose()


def test_a_postgresql_database_that_holds_data_is_refused(tmp_path: Path) -> None:
    databases.create_postgresql(name := "restored")
    url = databases.postgresql_url(name)
    full = Settings(home=tmp_path / "home", database_url=SecretStr(url))
    try:
        filled(full)
        back_up(full, tmp_path / "a", progress=on_progress)

        with pytest.raises(Conflict, match="Make an empty database"):
            restore(
                full.model_copy(update={"home": tmp_path / "b"}), tmp_path / "a", replace=True, progress=on_progress
            )
        with pytest.raises(InvalidInput, match="another kind of database"):
            restore(Settings(home=tmp_path / "c"), tmp_path / "a", replace=False, progress=on_progress)
    finally:
        databases.drop_postgresql(name)


def repacked(file: Path, change: dict[str, bytes]) -> Path:
    """The backup with other contents, under the old manifest unless that is changed too."""
    buffer = io.BytesIO()
    with tarfile.open(file) as old, tarfile.open(fileobj=buffer, mode="w:gz") as new:
        for member in old.getmembers():
            source = old.extractfile(member)
            content = change.get(member.name, source.read() if source else b"")
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    other = file.with_name("-".join(change).replace("/", "-"))
    other.write_bytes(buffer.getvalue())
    return other


def test_a_damaged_or_newer_backup_is_refused_and_nothing_is_touched(settings: Settings, tmp_path: Path) -> None:
    filled(settings)
    file, new = tmp_path / "a", Settings(home=tmp_path / "new")
    back_up(settings, file, progress=on_progress)
    with tarfile.open(file) as archive:
        source = archive.extractfile(MANIFEST)
        assert source is not None
        manifest = json.loads(source.read())
    newer = json.dumps(manifest | {"revision": "9999"}).encode()
    cut = tmp_path / "cut"
    cut.write_bytes(file.read_bytes()[:-2000])
    none = tmp_path / "none"
    none.write_bytes(gzip.compress(b"no archive"))

    for bad, rule in (
        (repacked(file, {"reports/night.json": b"[]"}), "differs from its manifest in reports/night.json"),
        (repacked(file, {MANIFEST: newer}), "made by a newer Trivium"),
        (cut, "cannot be read as a backup"),
        (none, "cannot be read as a backup"),
    ):
        with pytest.raises(InvalidInput, match=rule):
            restore(new, bad, replace=False, progress=on_progress)
    assert list(new.home.iterdir()) == []


def test_without_data_or_with_an_unreachable_database_there_is_no_backup(settings: Settings, tmp_path: Path) -> None:
    away = Settings(home=tmp_path, database_url=SecretStr("postgresql+psycopg://nobody:secret@127.0.0.1:1/none"))

    with pytest.raises(NotFound, match="holds no data yet"):
        back_up(settings, tmp_path / "a", progress=on_progress)
    with pytest.raises(OperationalError):
        back_up(away, tmp_path / "a", progress=on_progress)
    with pytest.raises(NotFound, match="FILE: must lie in a folder that exists"):
        back_up(settings, tmp_path / "no" / "a", progress=on_progress)
    with pytest.raises(NotFound, match="must be a file"):
        restore(settings, tmp_path / "a", replace=False, progress=on_progress)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["home"])
