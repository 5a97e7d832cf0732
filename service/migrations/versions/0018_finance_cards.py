"""card transactions, scored or kept as history"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "finance_card_transactions",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("transaction_id", sa.String(length=64), nullable=False),
        sa.Column("at_s", sa.BigInteger(), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("terminal", sa.String(length=64), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("fraud", sa.Boolean(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=True),
        sa.Column("model_version", sa.String(length=128), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "transaction_id"),
    )
    op.create_index("ix_finance_cards_customer", "finance_card_transactions", ["tenant", "customer", "at_s"])
    op.create_index("ix_finance_cards_terminal", "finance_card_transactions", ["tenant", "terminal", "at_s"])


def downgrade() -> None:
    op.drop_index("ix_finance_cards_terminal", table_name="finance_card_transactions")
    op.drop_index("ix_finance_cards_customer", table_name="finance_card_transactions")
    op.drop_table("finance_card_transactions")
