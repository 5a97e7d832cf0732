"""the audit trail: payloads apart from what is hashed, times and callers as columns, seals"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_TOLD = {"sqlite": "json_extract(content, '$.{0}')", "postgresql": "content::json ->> '{0}'"}


def upgrade() -> None:
    told = _TOLD[op.get_bind().dialect.name]
    with op.batch_alter_table("audit_entries", schema=None) as batch_op:
        batch_op.add_column(sa.Column("actor", sa.String(length=255), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("at", sa.String(length=32), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("payload", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("salt", sa.String(length=32), nullable=True))
    op.execute(f"UPDATE audit_entries SET actor = {told.format('actor')}, at = {told.format('at')}")  # noqa: S608
    with op.batch_alter_table("audit_entries", schema=None) as batch_op:
        batch_op.alter_column("actor", server_default=None)
        batch_op.alter_column("at", server_default=None)
        batch_op.create_index("ix_audit_at", ["tenant", "at"], unique=False)
    op.create_table(
        "audit_seals",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "number"),
    )


def downgrade() -> None:
    left = "SELECT 1 FROM audit_entries WHERE payload IS NOT NULL UNION SELECT 1 FROM audit_seals"
    if op.get_bind().execute(sa.text(left)).first():
        raise RuntimeError(
            "audit_entries: holds payloads, or seals, which an older program cannot verify. Restore a backup of before."
        )
    op.drop_table("audit_seals")
    with op.batch_alter_table("audit_entries", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_at")
        for name in ("salt", "payload", "at", "actor"):
            batch_op.drop_column(name)
