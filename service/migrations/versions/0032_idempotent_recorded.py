"""idempotent requests: whether the transaction that carries one out was committed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("idempotent_requests") as table:
        table.add_column(sa.Column("recorded", sa.Boolean(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("idempotent_requests") as table:
        table.drop_column("recorded")
