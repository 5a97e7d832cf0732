"""the newest version of each report, kept apart"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_HEADS = """
INSERT INTO medical_report_heads (report_id, tenant, study_id, version, content_sha256)
SELECT report_id, tenant, study_id, version, content_sha256 FROM medical_report_versions AS newest
WHERE version = (SELECT MAX(version) FROM medical_report_versions WHERE report_id = newest.report_id)
"""


def upgrade() -> None:
    op.create_table(
        "medical_report_heads",
        sa.Column("report_id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("study_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("report_id"),
    )
    for column in ("tenant", "study_id"):
        op.create_index(op.f(f"ix_medical_report_heads_{column}"), "medical_report_heads", [column])
    op.execute(_HEADS)


def downgrade() -> None:
    op.drop_table("medical_report_heads")
