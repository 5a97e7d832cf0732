"""how credits turned out, and decisions by time and by application"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
INDEXES = {"ix_finance_decisions_created": "created_at", "ix_finance_decisions_application": "application_id"}


def upgrade() -> None:
    op.create_table(
        "finance_outcomes",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("application_id", sa.String(length=64), nullable=False),
        sa.Column("defaulted", sa.Boolean(), nullable=False),
        sa.Column("observed_on", sa.Date(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "application_id"),
    )
    for name, column in INDEXES.items():
        op.create_index(name, "finance_decisions", ["tenant", column])


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "finance_decisions")
    op.drop_table("finance_outcomes")
