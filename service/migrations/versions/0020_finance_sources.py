"""what texts and documents said of customers, the terms that scores read, and what a file's row read of them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "finance_evidence",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("evidence", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("reads", sa.String(length=128), nullable=False),
        sa.Column("numbers", sa.LargeBinary(), nullable=False),
        sa.Column("aspects", sa.JSON(), nullable=False),
        sa.Column("filed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "evidence"),
    )
    op.create_index("ix_finance_evidence_customer", "finance_evidence", ["tenant", "customer", "source", "filed_at"])
    op.create_table(
        "finance_source_terms",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=128), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("bounded", sa.Float(), nullable=False),
        sa.Column("evidence", sa.String(length=64), nullable=False),
        sa.Column("as_of", TIME, nullable=False),
        sa.Column("aspects", sa.JSON(), nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "customer", "model_version", "source"),
    )
    op.add_column("finance_decisions", sa.Column("sources", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("finance_decisions", "sources")
    op.drop_table("finance_source_terms")
    op.drop_index("ix_finance_evidence_customer", table_name="finance_evidence")
    op.drop_table("finance_evidence")
