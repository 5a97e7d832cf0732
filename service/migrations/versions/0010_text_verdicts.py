"""what was found in passages that were judged for injections"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "support_text_verdicts",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("judge", sa.String(length=200), nullable=False),
        sa.Column("injected", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sha256"),
    )


def downgrade() -> None:
    op.drop_table("support_text_verdicts")
