"""retrieval ledger"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retrieval_ledger",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("answer_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=128), nullable=False),
        sa.Column("customer_id", sa.String(length=200), nullable=True),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("index_version", sa.String(length=32), nullable=True),
        sa.Column("candidates", sa.JSON(), nullable=False),
        sa.Column("citations", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "answer_id"),
    )
    op.create_index("ix_retrieval_ledger_conversation", "retrieval_ledger", ["tenant", "conversation_id"])
    op.create_index("ix_retrieval_ledger_customer", "retrieval_ledger", ["tenant", "customer_id"])


def downgrade() -> None:
    op.drop_table("retrieval_ledger")
