"""support sessions actions and the demo shop"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "support_actions",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("action_id", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=128), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=True),
        sa.Column("ticket_id", sa.String(length=128), nullable=True),
        sa.Column("tool", sa.String(length=64), nullable=False),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(length=200), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "action_id"),
    )
    with op.batch_alter_table("support_actions", schema=None) as batch_op:
        batch_op.create_index("ix_support_actions_status", ["tenant", "status", "asked_at"], unique=False)

    op.create_table(
        "support_executions",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("customer_id", sa.String(length=128), nullable=False),
        sa.Column("tool", sa.String(length=64), nullable=False),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.create_table(
        "support_handoffs",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("handoff_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=128), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("returned_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "handoff_id"),
    )
    with op.batch_alter_table("support_handoffs", schema=None) as batch_op:
        batch_op.create_index("ix_support_handoffs_status", ["tenant", "status", "created_at"], unique=False)

    op.create_table(
        "support_messages",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("wants_answer", sa.Boolean(), nullable=False),
        sa.Column("action_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "session_id", "number"),
    )
    op.create_table(
        "support_sessions",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=128), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("num_messages", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "session_id"),
    )
    with op.batch_alter_table("support_sessions", schema=None) as batch_op:
        batch_op.create_index("ix_support_sessions_updated", ["tenant", "updated_at"], unique=False)

    op.create_table(
        "support_shop_customers",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("customer_id", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=200), nullable=False),
        sa.Column("street", sa.String(length=120), nullable=False),
        sa.Column("city", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=2), nullable=False),
        sa.Column("postal_code", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "customer_id"),
    )
    op.create_table(
        "support_shop_memberships",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("customer_id", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.Column("saved", sa.Integer(), nullable=False),
        sa.Column("refunded", sa.Integer(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "customer_id"),
    )
    op.create_table(
        "support_shop_orders",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("service", sa.String(length=20), nullable=False),
        sa.Column("payment", sa.String(length=40), nullable=False),
        sa.Column("delivery_fee", sa.Integer(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shipped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("street", sa.String(length=120), nullable=False),
        sa.Column("city", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=2), nullable=False),
        sa.Column("postal_code", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "order_id"),
    )
    with op.batch_alter_table("support_shop_orders", schema=None) as batch_op:
        batch_op.create_index("ix_support_shop_orders_customer", ["tenant", "customer_id", "placed_at"], unique=False)

    op.create_table(
        "support_shop_refunds",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "order_id", "item"),
    )
    op.create_table(
        "support_shop_lines",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price", sa.Integer(), nullable=False),
        sa.Column("tax", sa.Integer(), nullable=False),
        sa.Column("returns", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "order_id"],
            ["support_shop_orders.tenant", "support_shop_orders.order_id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "order_id", "item"),
    )
    with op.batch_alter_table("support_tickets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("customer", sa.String(length=128), nullable=True))
        batch_op.add_column(sa.Column("action", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("outcome", sa.Text(), nullable=True))


def downgrade() -> None:

    with op.batch_alter_table("support_tickets", schema=None) as batch_op:
        batch_op.drop_column("outcome")
        batch_op.drop_column("action")
        batch_op.drop_column("customer")

    op.drop_table("support_shop_lines")
    op.drop_table("support_shop_refunds")
    with op.batch_alter_table("support_shop_orders", schema=None) as batch_op:
        batch_op.drop_index("ix_support_shop_orders_customer")

    op.drop_table("support_shop_orders")
    op.drop_table("support_shop_memberships")
    op.drop_table("support_shop_customers")
    with op.batch_alter_table("support_sessions", schema=None) as batch_op:
        batch_op.drop_index("ix_support_sessions_updated")

    op.drop_table("support_sessions")
    op.drop_table("support_messages")
    with op.batch_alter_table("support_handoffs", schema=None) as batch_op:
        batch_op.drop_index("ix_support_handoffs_status")

    op.drop_table("support_handoffs")
    op.drop_table("support_executions")
    with op.batch_alter_table("support_actions", schema=None) as batch_op:
        batch_op.drop_index("ix_support_actions_status")

    op.drop_table("support_actions")
