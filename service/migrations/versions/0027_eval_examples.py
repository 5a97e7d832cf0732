"""nightly: examples, costs, the judged address, the pinned baseline"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "eval_examples",
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("domain", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=120), nullable=False),
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("slices", sa.JSON(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["eval_runs.id"]),
        sa.PrimaryKeyConstraint("run_id", "domain", "suite", "case_id"),
    )
    op.create_table(
        "eval_baselines",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("pinned_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["eval_runs.id"]),
        sa.PrimaryKeyConstraint("tenant"),
    )
    with op.batch_alter_table("eval_runs") as runs:
        runs.add_column(sa.Column("target", sa.Text(), nullable=True))
        runs.add_column(sa.Column("plan", sa.String(length=64), nullable=True))
    with op.batch_alter_table("eval_suites") as suites:
        suites.add_column(sa.Column("tokens", sa.Integer(), nullable=True))
        suites.add_column(sa.Column("cpu_s", sa.Double(), nullable=True))
        suites.add_column(sa.Column("peak_mb", sa.Double(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("eval_suites") as suites:
        for name in ("tokens", "cpu_s", "peak_mb"):
            suites.drop_column(name)
    with op.batch_alter_table("eval_runs") as runs:
        runs.drop_column("target")
        runs.drop_column("plan")
    op.drop_table("eval_baselines")
    op.drop_table("eval_examples")
