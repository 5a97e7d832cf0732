"""The migrations build exactly the tables that the code declares, and take them away again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from retrieval.documents import Document
from retrieval.store import KnowledgeBase
from service.storage import alembic_config, all_metadata, make_sessions, migrate, open_database
from verticals.contract import InvalidInput


def test_the_migrations_match_the_declared_tables(database_url: str) -> None:
    migrate(database_url)
    engine = open_database(database_url)

    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), all_metadata())
    engine.dispose()
    assert differences == []


def test_migrating_twice_changes_nothing_and_back_leaves_nothing(database_url: str) -> None:
    migrate(database_url)
    migrate(database_url)
    engine = open_database(database_url)
    assert "audit_entries" in inspect(engine).get_table_names()

    command.downgrade(alembic_config(database_url), "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_sqlite_opens_in_wal_mode_with_foreign_keys(tmp_path: object) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/deep/folder/x.db")

    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    engine.dispose()


def test_a_number_that_no_column_holds_is_told_as_the_fault_of_who_sent_it(database_url: str) -> None:
    engine = open_database(database_url)

    with engine.connect() as connection, pytest.raises(InvalidInput, match="larger than the database can hold"):
        connection.execute(text("SELECT 1 LIMIT :number"), {"number": 2**63})
    engine.dispose()


def test_documents_of_an_older_database_are_found_and_known_as_unchanged(database_url: str, tmp_path: Path) -> None:
    command.upgrade(alembic_config(database_url), "0002")
    engine = open_database(database_url)
    document = Document("fee", "Fee", "It costs $5.", {"category": "payment"}, ("staff",))
    vector = np.array([0.6, 0.8], "<f4").tobytes()
    old = {
        "retrieval_documents": {
            **{"tenant": "t", "doc_id": "fee", "title": "Fee", "text": "It costs $5.", "content_hash": "x"},
            **{"metadata": '{"category": "payment"}', "acl": '["staff"]', "updated_at": "2026-01-01 00:00:00"},
        },
        "retrieval_versions": {"tenant": "t", "version": "v"},
        "retrieval_passages": {
            **{"tenant": "t", "passage_id": "p", "doc_id": "fee", "position": 0, "heading": ""},
            **{"text": "It costs $5.", "embedder": "two", "vector": vector},
        },
    }
    with engine.begin() as connection:
        for table, row in old.items():
            places = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"), row)

    migrate(database_url)

    class TwoNumbers:
        name, dim = "two", 2

        def embed(self, texts: Sequence[str]) -> Any:
            return np.array([[0.6, 0.8]] * len(texts), np.float32)

        def embed_query(self, text: str) -> Any:
            return self.embed([text])[0]

    kb = KnowledgeBase(make_sessions(engine), TwoNumbers(), tmp_path)
    assert [hit.text for hit in kb.search("costs", tenant="t", acl=["staff"])] == ["It costs $5."]
    assert kb.search("costs", tenant="t") == []
    assert kb.ingest([document], tenant="t").unchanged == 1
    command.downgrade(alembic_config(database_url), "0002")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT doc_id, text FROM retrieval_passages")).one() == ("fee", "It costs $5.")
    engine.dispose()


def test_a_study_of_an_older_database_keeps_its_image_and_takes_no_other(database_url: str) -> None:
    command.upgrade(alembic_config(database_url), "0021")
    engine = open_database(database_url)
    old = {
        **{"study_id": "st_1", "tenant": "t", "sop_instance_uid": "2.25.1", "patient": "p", "source_mac": "m"},
        **{"origin": "upload", "modality": "CT", "body_part": "CHEST", "quality_verdict": "accept"},
        **{"details": "{}", "dicom": b"pixels", "dicom_sha256": "s", "received_at": "2026-01-01 00:00:00"},
    }
    places = ", ".join(f":{name}" for name in old)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO medical_studies ({', '.join(old)}) VALUES ({places})"), old)

    migrate(database_url)

    with engine.connect() as connection:
        study = connection.execute(text("SELECT study_uid, drafted_from FROM medical_studies")).one()
        image = connection.execute(text("SELECT instance_id, study_id, num_bytes, dicom FROM medical_instances")).one()
    assert tuple(study) == ("2.25.1", image.instance_id)
    assert (image.study_id, image.num_bytes, bytes(image.dicom)) == ("st_1", 6, b"pixels")
    command.downgrade(alembic_config(database_url), "0021")
    with engine.connect() as connection:
        back = connection.execute(text("SELECT sop_instance_uid, dicom FROM medical_studies")).one()
    assert (back.sop_instance_uid, bytes(back.dicom)) == ("2.25.1", b"pixels")
    engine.dispose()
