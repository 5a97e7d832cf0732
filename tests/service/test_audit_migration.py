"""A chain of before there were payloads is verified as it was, goes on, and cannot be taken back unread."""

from __future__ import annotations

import json

import pytest
from alembic import command
from sqlalchemy import text

from service.audit import AuditLog
from service.audit_tables import GENESIS, chain_hash
from service.storage import alembic_config, make_sessions, migrate, open_database
from verticals.contract import Decision

BEFORE = "0027"  # the schema before payloads
OLD = {
    **{"sequence": 1, "at": "2026-01-01T00:00:00+00:00", "tenant": "acme", "actor": "key1", "request_id": "r"},
    **{"kind": "finance.score", "subject": "app-1", "input_sha256": "ab", "outcome": {"points": 600}},
    **{"model_version": "m@1", "policy_version": None},
}


def test_an_older_chain_goes_on_and_is_not_taken_back_with_payloads(migrated_url: str) -> None:
    command.downgrade(alembic_config(migrated_url), BEFORE)
    engine, content = open_database(migrated_url), json.dumps(OLD)
    row = {"content": content, "sha256": chain_hash(GENESIS, content)}
    with engine.begin() as connection:
        names = "tenant, sequence, kind, subject, content, sha256"
        values = "'acme', 1, 'finance.score', 'app-1', :content, :sha256"
        connection.execute(text(f"INSERT INTO audit_entries ({names}) VALUES ({values})"), row)
        connection.execute(text("INSERT INTO audit_heads VALUES ('acme', 1, :sha256)"), row)
    migrate(migrated_url)
    audit = AuditLog(make_sessions(engine))
    assert audit.verify("acme").broken_at is None

    who = {"tenant": "acme", "actor": "key2", "request_id": "r"}
    audit.record(Decision("finance.score", "app-2", "cd", {"points": 1}, "m@1"), who=who)
    newest, oldest = audit.entries("acme")
    assert (oldest["outcome"], newest["outcome"]) == ({"points": 600}, {"points": 1})
    assert audit.verify("acme").broken_at is None
    with pytest.raises(RuntimeError, match="an older program cannot verify"):
        command.downgrade(alembic_config(migrated_url), BEFORE)
    engine.dispose()
