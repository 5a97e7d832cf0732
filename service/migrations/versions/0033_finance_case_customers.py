"""suspected fraud: whose it is, so that a score can read it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("finance_cases") as table:
        table.add_column(sa.Column("customer", sa.String(length=64), nullable=True))
    op.create_index("ix_finance_cases_customer", "finance_cases", ["tenant", "customer"])
    op.execute(
        "UPDATE finance_cases SET customer = (SELECT t.customer FROM finance_card_transactions t "
        "WHERE t.tenant = finance_cases.tenant AND t.transaction_id = finance_cases.subject) "
        "WHERE subject_kind = 'transaction'"
    )


def downgrade() -> None:
    op.drop_index("ix_finance_cases_customer", table_name="finance_cases")
    with op.batch_alter_table("finance_cases") as table:
        table.drop_column("customer")
