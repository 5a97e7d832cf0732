"""keys of customers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("customer", sa.String(length=128), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "customer")
