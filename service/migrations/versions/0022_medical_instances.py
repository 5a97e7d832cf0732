"""studies of many instances; held and refused objects

A study stored before has one object. Its UID was not kept apart from the object, so it stays a study of that one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_MOVED = ("sop_instance_uid", "source_mac", "details", "dicom", "dicom_sha256")


def upgrade() -> None:
    _create_instances()
    _create_held_and_refusals()
    op.execute(
        "INSERT INTO medical_series (tenant, series_uid, study_id, modality, body_part) "
        "SELECT tenant, sop_instance_uid, study_id, modality, body_part FROM medical_studies"
    )
    op.execute(
        "INSERT INTO medical_instances (instance_id, tenant, study_id, series_uid, sop_instance_uid, source_mac, "
        "origin, quality_verdict, details, num_bytes, dicom, dicom_sha256, received_at) "
        "SELECT study_id, tenant, study_id, sop_instance_uid, sop_instance_uid, source_mac, origin, "
        "quality_verdict, details, length(dicom), dicom, dicom_sha256, received_at FROM medical_studies"
    )
    with op.batch_alter_table("medical_studies") as table:
        table.add_column(sa.Column("study_uid", sa.String(64), nullable=False, server_default=""))
        table.add_column(sa.Column("study_date", sa.String(8), nullable=False, server_default=""))
        table.add_column(sa.Column("drafted_from", sa.String(64), nullable=False, server_default=""))
    op.execute("UPDATE medical_studies SET study_uid = sop_instance_uid, drafted_from = study_id")
    _drop_unique("medical_studies", "sop_instance_uid")
    with op.batch_alter_table("medical_studies") as table:
        for name in ("study_uid", "study_date", "drafted_from"):
            table.alter_column(name, server_default=None)
        for name in _MOVED:
            table.drop_column(name)
        table.create_unique_constraint("uq_medical_studies_tenant_study_uid", ["tenant", "study_uid"])


def _drop_unique(name: str, column: str) -> None:
    """Drop the constraint over (tenant, column): PostgreSQL named it, SQLite did not."""
    convention = {"uq": "uq_%(table_name)s_%(column_0_N_name)s"}
    constraints = sa.inspect(op.get_bind()).get_unique_constraints(name)
    found = next(each for each in constraints if each["column_names"] == ["tenant", column])
    with op.batch_alter_table(name, naming_convention=convention) as table:
        table.drop_constraint(found["name"] or f"uq_{name}_tenant_{column}", type_="unique")


def _create_instances() -> None:
    op.create_table(
        "medical_series",
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("series_uid", sa.String(64), primary_key=True),
        sa.Column("study_id", sa.String(64), nullable=False, index=True),
        sa.Column("modality", sa.String(16), nullable=False),
        sa.Column("body_part", sa.String(16), nullable=False),
        sa.Column("series_number", sa.Integer()),
    )
    op.create_table(
        "medical_instances",
        sa.Column("instance_id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False, index=True),
        sa.Column("study_id", sa.String(64), nullable=False, index=True),
        sa.Column("series_uid", sa.String(64), nullable=False, index=True),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("instance_number", sa.Integer()),
        sa.Column("source_mac", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("quality_verdict", sa.String(8), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("num_bytes", sa.Integer(), nullable=False),
        sa.Column("dicom", sa.LargeBinary(), nullable=False),
        sa.Column("dicom_sha256", sa.String(64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("tenant", "sop_instance_uid"),
    )


def _create_held_and_refusals() -> None:
    op.create_table(
        "medical_held",
        sa.Column("held_id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False, index=True),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("source_mac", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("modality", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("places", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("dicom", sa.LargeBinary(), nullable=False),
        sa.Column("dicom_sha256", sa.String(64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(64)),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('held', 'released', 'masked', 'discarded')", name="ck_medical_held_state"),
        sa.UniqueConstraint("tenant", "sop_instance_uid"),
    )
    op.create_table(
        "medical_refusals",
        sa.Column("refusal_id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False, index=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source_mac", sa.String(64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False, index=True),
    )


def downgrade() -> None:
    with op.batch_alter_table("medical_studies") as table:
        for name in ("sop_instance_uid", "source_mac", "dicom_sha256"):
            table.add_column(sa.Column(name, sa.String(64), nullable=False, server_default=""))
        table.add_column(sa.Column("details", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("dicom", sa.LargeBinary(), nullable=False, server_default=""))
    for name in _MOVED:
        op.execute(
            f"UPDATE medical_studies SET {name} = (SELECT {name} FROM medical_instances "  # noqa: S608 - our own names
            "WHERE instance_id = medical_studies.drafted_from)"
        )
    _drop_unique("medical_studies", "study_uid")
    with op.batch_alter_table("medical_studies") as table:
        for name in _MOVED:
            table.alter_column(name, server_default=None)
        for name in ("study_uid", "study_date", "drafted_from"):
            table.drop_column(name)
        table.create_unique_constraint("uq_medical_studies_tenant_sop_instance_uid", ["tenant", "sop_instance_uid"])
    for name in ("medical_refusals", "medical_held", "medical_instances", "medical_series"):
        op.drop_table(name)
