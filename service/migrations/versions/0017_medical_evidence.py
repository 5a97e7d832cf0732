"""the evidence of a report's version"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("medical_report_versions") as table:
        table.add_column(sa.Column("evidence", sa.JSON(), nullable=False, server_default='{"findings": []}'))
    with op.batch_alter_table("medical_report_versions") as table:
        table.alter_column("evidence", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("medical_report_versions") as table:
        table.drop_column("evidence")
