"""agent api"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "channel_talks",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("talk_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=128), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "talk_id"),
    )
    with op.batch_alter_table("channel_talks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_channel_talks_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "idempotent_requests",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("media_type", sa.String(length=128), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key_sha256"),
    )
    with op.batch_alter_table("idempotent_requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotent_requests_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "openai_responses",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("response_id", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=128), nullable=True),
        sa.Column("previous_id", sa.String(length=64), nullable=True),
        sa.Column("conversation_id", sa.String(length=128), nullable=True),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "response_id"),
    )
    with op.batch_alter_table("openai_responses", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_openai_responses_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "webhook_jobs",
        sa.Column("queue", sa.String(length=8), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=200), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("queue", "channel", "job_id"),
    )
    with op.batch_alter_table("webhook_jobs", schema=None) as batch_op:
        batch_op.create_index("ix_webhook_jobs_due", ["queue", "status", "due_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("webhook_jobs", schema=None) as batch_op:
        batch_op.drop_index("ix_webhook_jobs_due")

    op.drop_table("webhook_jobs")
    with op.batch_alter_table("openai_responses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_openai_responses_expires_at"))

    op.drop_table("openai_responses")
    with op.batch_alter_table("idempotent_requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotent_requests_expires_at"))

    op.drop_table("idempotent_requests")
    with op.batch_alter_table("channel_talks", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_channel_talks_expires_at"))

    op.drop_table("channel_talks")
