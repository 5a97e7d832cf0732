"""which chunk of a file a credit decision came from, and the chunk's digests"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "finance_batch_chunks",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("chunk", sa.String(length=64), nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "chunk"),
    )
    with op.batch_alter_table("finance_decisions") as batch:
        batch.add_column(sa.Column("chunk", sa.String(length=64), nullable=True))
        batch.create_index("ix_finance_decisions_chunk", ["tenant", "chunk"])


def downgrade() -> None:
    with op.batch_alter_table("finance_decisions") as batch:
        batch.drop_index("ix_finance_decisions_chunk")
        batch.drop_column("chunk")
    op.drop_table("finance_batch_chunks")
