"""API keys: the secret before the last rotation, and the last use"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("api_keys") as table:
        table.add_column(sa.Column("previous_sha256", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("api_keys") as table:
        for name in ("last_used_at", "previous_until", "previous_sha256"):
            table.drop_column(name)
