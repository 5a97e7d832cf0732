"""what was understood of messages, what a person needs of a hand-off, consents"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "support_consents",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("customer", sa.String(length=128), nullable=False),
        sa.Column("modality", sa.String(length=20), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wording_version", sa.String(length=128), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "customer", "modality", "given_at"),
    )
    with op.batch_alter_table("support_messages") as batch:
        batch.add_column(sa.Column("understood", sa.JSON(), nullable=True))
        batch.add_column(sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("support_handoffs") as batch:
        batch.add_column(sa.Column("priority", sa.String(length=20), nullable=False, server_default="normal"))
        batch.add_column(sa.Column("tone", sa.String(length=20), nullable=False, server_default="calm"))
        batch.add_column(sa.Column("intent", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("tried", sa.JSON(), nullable=False, server_default="[]"))
        batch.add_column(sa.Column("slots", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("support_messages") as batch:
        batch.alter_column("failures", server_default=None)
    with op.batch_alter_table("support_handoffs") as batch:
        for name in ("priority", "tone", "tried", "slots"):
            batch.alter_column(name, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("support_handoffs") as batch:
        for name in ("slots", "tried", "intent", "tone", "priority"):
            batch.drop_column(name)
    with op.batch_alter_table("support_messages") as batch:
        batch.drop_column("failures")
        batch.drop_column("understood")
    op.drop_table("support_consents")
