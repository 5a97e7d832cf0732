"""what each report's newest version states, for worklist and drift

Reports from before have no row until their next version: no findings model had been shipped.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "medical_statements",
        sa.Column("study_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("by_model", sa.String(length=16), nullable=False),
        sa.Column("stated", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("study_id", "kind"),
    )
    op.create_index(op.f("ix_medical_statements_tenant"), "medical_statements", ["tenant"])


def downgrade() -> None:
    op.drop_table("medical_statements")
