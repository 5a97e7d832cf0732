"""decisions that people put in the place of the policy's"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "finance_overrides",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("override_id", sa.String(length=64), nullable=False),
        sa.Column("scoring_id", sa.Integer(), nullable=False),
        sa.Column("application_id", sa.String(length=64), nullable=False),
        sa.Column("automatic", sa.String(length=16), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=8), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decided_by", sa.String(length=200), nullable=False),
        sa.Column("decided_at", TIME, nullable=False),
        sa.Column("second_by", sa.String(length=200), nullable=True),
        sa.Column("second_text", sa.Text(), nullable=True),
        sa.Column("second_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "override_id"),
    )
    op.create_index("ix_finance_overrides_scoring", "finance_overrides", ["tenant", "scoring_id"])
    op.create_index("ix_finance_overrides_decided", "finance_overrides", ["tenant", "state", "decided_at"])


def downgrade() -> None:
    op.drop_index("ix_finance_overrides_decided", table_name="finance_overrides")
    op.drop_index("ix_finance_overrides_scoring", table_name="finance_overrides")
    op.drop_table("finance_overrides")
