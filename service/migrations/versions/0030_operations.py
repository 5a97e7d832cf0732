"""operations: samples of signals, alarms, notes of the watch; what scored applications fell into"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "operations_samples",
        sa.Column("at", time, nullable=False),
        sa.Column("signals", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("at"),
    )
    op.create_table(
        "operations_alarms",
        sa.Column("alarm_id", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("signal", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", time, nullable=False),
        sa.Column("opened_at", time, nullable=True),
        sa.Column("clear_since", time, nullable=True),
        sa.Column("resolved_at", time, nullable=True),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("peak", sa.Double(), nullable=False),
        sa.Column("threshold_on", sa.Double(), nullable=False),
        sa.Column("threshold_off", sa.Double(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("actions", sa.JSON(), nullable=False),
        sa.Column("acknowledged_by", sa.String(length=128), nullable=True),
        sa.Column("acknowledged_key", sa.String(length=64), nullable=True),
        sa.Column("acknowledged_at", time, nullable=True),
        sa.Column("acknowledged_reason", sa.Text(), nullable=True),
        sa.Column("told", sa.String(length=16), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'firing', 'resolved')", name="ck_operations_alarm_state"),
        sa.PrimaryKeyConstraint("alarm_id"),
    )
    op.create_index("ix_operations_alarms_since", "operations_alarms", ["since"])
    op.create_table(
        "operations_notes",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("until", time, nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "finance_inputs",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=128), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_finance_inputs_created", "finance_inputs", ["created_at"])


def downgrade() -> None:
    for table in ("finance_inputs", "operations_notes", "operations_alarms", "operations_samples"):
        op.drop_table(table)
