"""documents become lines of revisions, with a log of changes"""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "retrieval_revisions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("doc_id", sa.String(length=200), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("acl", sa.JSON(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_retrieval_revisions_document", "retrieval_revisions", ["tenant", "doc_id"])
    op.create_table(
        "retrieval_revision_passages",
        sa.Column("id", _ID, nullable=False),
        sa.Column("revision_id", _ID, nullable=False),
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("passage_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("heading", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("embedder", sa.String(length=200), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["revision_id"], ["retrieval_revisions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    table = "retrieval_revision_passages"
    op.create_index("ix_retrieval_revision_passages_passage", table, ["tenant", "passage_id"])
    op.create_index("ix_retrieval_revision_passages_revision_id", table, ["revision_id"])
    op.create_table(
        "retrieval_changes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("revision_ids", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_retrieval_changes_tenant_id", "retrieval_changes", ["tenant", "id"])
    op.execute(
        "INSERT INTO retrieval_revisions"
        " (tenant, doc_id, title, text, metadata, acl, content_hash, valid_from, updated_at)"
        " SELECT tenant, doc_id, title, text, metadata, acl, content_hash, updated_at, updated_at"
        " FROM retrieval_documents ORDER BY tenant, doc_id"
    )
    op.execute(
        "INSERT INTO retrieval_revision_passages"
        " (revision_id, tenant, passage_id, position, heading, text, embedder, vector)"
        " SELECT r.id, p.tenant, p.passage_id, p.position, p.heading, p.text, p.embedder, p.vector"
        " FROM retrieval_passages p JOIN retrieval_revisions r ON r.tenant = p.tenant AND r.doc_id = p.doc_id"
        " ORDER BY r.id, p.position"
    )
    op.execute(
        "INSERT INTO retrieval_changes (tenant, version, revision_ids, changed_at)"
        " SELECT tenant, version, '[]', CURRENT_TIMESTAMP FROM retrieval_versions"
    )
    _hash_without_acl()
    op.drop_table("retrieval_passages")
    op.drop_table("retrieval_documents")


def _hash_without_acl() -> None:
    """As retrieval.passages.content_hash did when this was written; the acl is compared by itself now."""
    rows = sa.table(
        "retrieval_revisions",
        *(sa.column(name) for name in ("id", "title", "text", "content_hash")),
        sa.column("metadata", sa.JSON()),
    )
    connection = op.get_bind()
    for key, title, text, metadata in connection.execute(
        sa.select(rows.c.id, rows.c.title, rows.c.text, rows.c.metadata)
    ):
        content = json.dumps([title, text, metadata, None, None], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
        connection.execute(rows.update().where(rows.c.id == key).values(content_hash=digest))


def downgrade() -> None:
    op.create_table(
        "retrieval_documents",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("doc_id", sa.String(length=200), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("acl", sa.JSON(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "doc_id"),
    )
    op.create_table(
        "retrieval_passages",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("passage_id", sa.String(length=64), nullable=False),
        sa.Column("doc_id", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("heading", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("embedder", sa.String(length=200), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "doc_id"], ["retrieval_documents.tenant", "retrieval_documents.doc_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant", "passage_id"),
    )
    op.create_index("ix_retrieval_passages_doc_id", "retrieval_passages", ["doc_id"])
    op.execute(
        "INSERT INTO retrieval_documents"
        " SELECT tenant, doc_id, title, text, metadata, acl, content_hash, updated_at"
        " FROM retrieval_revisions WHERE id IN (SELECT max(id) FROM retrieval_revisions GROUP BY tenant, doc_id)"
    )
    op.execute(
        "INSERT INTO retrieval_passages"
        " SELECT p.tenant, p.passage_id, r.doc_id, p.position, p.heading, p.text, p.embedder, p.vector"
        " FROM retrieval_revision_passages p JOIN retrieval_revisions r ON r.id = p.revision_id"
        " WHERE r.id IN (SELECT max(id) FROM retrieval_revisions GROUP BY tenant, doc_id)"
    )
    op.drop_table("retrieval_changes")
    op.drop_table("retrieval_revision_passages")
    op.drop_table("retrieval_revisions")
