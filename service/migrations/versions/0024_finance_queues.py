"""indexes that give a queue's page, and what holds of a scoring, without sorting or searching

A page of cases came by score and then by a sort of whole rows; a scoring's manual decision by a search of all in force.
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_finance_cases_queue", "finance_cases", ["tenant", "state", "score"], ["case_id"]),
    ("ix_finance_overrides_scoring", "finance_overrides", ["tenant", "scoring_id"], ["state", "decided_at"]),
)


def upgrade() -> None:
    for name, table, columns, added in _INDEXES:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, [*columns, *added])


def downgrade() -> None:
    for name, table, columns, _ in _INDEXES:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, columns)
