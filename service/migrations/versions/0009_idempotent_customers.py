"""whose key an idempotent request came from"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("idempotent_requests", sa.Column("customer", sa.String(length=128), nullable=True))


def downgrade() -> None:
    op.drop_column("idempotent_requests", "customer")
